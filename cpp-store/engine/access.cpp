#include "access.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "errors.hpp"

namespace parsl_tl {
namespace {

constexpr ::mode_t kAll = 07777;

bool is_mine(const struct stat& info) { return info.st_uid == ::geteuid(); }

void set_mode(const std::string& path, ::mode_t mode) {
  if (::chmod(path.c_str(), mode) != 0) throw_errno(errno, "cannot set the mode of", path);
}

}  // namespace

bool is_shared_folder(const std::string& path) {
  constexpr ::mode_t kShared = S_ISGID | S_IWGRP;
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && (info.st_mode & kShared) == kShared;
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

void make_folder(const std::string& path, bool shared) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (!parent.empty()) std::filesystem::create_directories(parent);
  const bool made = ::mkdir(path.c_str(), kOwnersFolder) == 0;
  if (!made && errno != EEXIST) throw_errno(errno, "cannot make the folder", path);
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) throw_errno(errno, "cannot stat", path);
  if (!is_mine(info)) return;
  if (shared) {
    set_mode(path, kGroupsFolder);
  } else if ((info.st_mode & kAll & ~kOwnersFolder) != 0) {
    // In a shared folder the new one has the group's bits too. Where /tmp itself was given, which
    // is somebody else's, the files' own modes keep others out.
    set_mode(path, info.st_mode & kOwnersFolder);
  }
}

std::optional<std::string> tighten(const std::string& folder, const std::string& lock) {
  struct stat info{};
  const ::mode_t wanted = is_shared_folder(folder) ? kGroupsFile : kOwnersFile;
  if (::stat(lock.c_str(), &info) != 0 || (info.st_mode & kAll & ~wanted) == 0) return std::nullopt;
  struct stat around{};
  const ::mode_t allowed = wanted == kGroupsFile ? kGroupsFolder : kOwnersFolder;
  const bool done = is_mine(info) && ::chmod(lock.c_str(), info.st_mode & wanted) == 0 &&
                    ::stat(folder.c_str(), &around) == 0 && is_mine(around) &&
                    ::chmod(folder.c_str(), around.st_mode & allowed) == 0;
  if (done)
    return folder + " could be used by others; now it is its owner's alone" +
           (wanted == kGroupsFile ? " and the group's" : "");
  return "others can lock " + folder +
         " and keep its writers waiting; its owner should call chmod "
         "go-rwx on the folder and on its locks";
}

}  // namespace parsl_tl
