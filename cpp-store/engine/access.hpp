// Who may use the files of a store: their owner alone, or the owner's group where a store is
// shared.
//
// That a store is shared is written in its folders: they belong to the group, which may write in
// them, and hand the group on (setgid). Files take their modes from the folder they are made in.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace parsl_tl {

constexpr ::mode_t kOwnersFile = 0600;
constexpr ::mode_t kOwnersFolder = 0700;
constexpr ::mode_t kGroupsFile = 0660;
constexpr ::mode_t kGroupsFolder = 02770;

/// Whether files that are made in this folder are its group's too.
bool is_shared_folder(const std::string& path);

/// The folder that a file lies in.
std::string parent_of(const std::string& path);

/// Makes a folder of a store, in `parent_of(path)` or below it. Others' folders on the way are made
/// as mkdir makes them. A folder that is there, empty, gets the mode too, if it is this user's.
void make_folder(const std::string& path, bool shared);

/// Takes from a lock, and the store's folder, what others could do with them. flock needs no more
/// than a file that can be read: whoever reads a lock can keep all writers waiting. Returns what
/// was changed, as a warning; throws nothing.
std::optional<std::string> tighten(const std::string& folder, const std::string& lock);

}  // namespace parsl_tl
