#include "folder.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <set>
#include <string_view>

#include "access.hpp"
#include "errors.hpp"
#include "file.hpp"
#include "file_system.hpp"
#include "log.hpp"

namespace parsl_tl {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kFormatTitle = "parsl_tl model store\nformat ";
constexpr std::string_view kCompression = "\ncompression ";
constexpr std::string_view kServer = "\nserver ";
constexpr std::string_view kHashes = "\nhashes ";
constexpr std::string_view kId = "\nid ";
constexpr std::string_view kStores = "\nstores ";
// Of some thousand servers.
constexpr std::size_t kMostFormatBytes = 1 << 20;

bool is_empty_or_half_made(const std::string& path) {
  static const std::set<std::string> kOurs{"lock",   "log",           "segments",   "tmp",
                                           "intent", "snapshot.lock", "FORMAT.tmp", "reserve"};
  for (const auto& entry : fs::directory_iterator(path)) {
    if (!kOurs.contains(entry.path().filename().string())) return false;
  }
  // Segments are only written after FORMAT: any file in there means that FORMAT was lost.
  return !fs::exists(path + "/segments") || fs::is_empty(path + "/segments");
}

/// The line behind the title, without it: "2\n".
std::optional<int> parse_version(std::string_view text) {
  int version = 0;
  const char* end = text.data() + text.size();
  const auto [behind, error] = std::from_chars(text.data(), end, version);
  if (error != std::errc() || version < 1 || behind == end || *behind != '\n') return std::nullopt;
  return version;
}

}  // namespace

std::string format_text(const Format& format) {
  std::string text = std::string(kFormatTitle) + std::to_string(kFormatVersion) +
                     std::string(kCompression) + name_of(format.codec) + std::string(kHashes) +
                     std::to_string(kHashScheme) + std::string(kId) + format.id.text();
  if (!format.membership.is_alone()) {
    text += std::string(kServer) + std::to_string(format.membership.index) + " of " +
            std::to_string(format.membership.count) + "\nstores";
    for (const StoreId& store : format.stores) text += " " + store.text();
  }
  return text + "\n";
}

namespace {

/// What follows "server ": "0 of 2\n".
std::optional<Membership> parse_membership(std::string_view text) {
  Membership membership;
  const char* const end = text.data() + text.size();
  const auto index = std::from_chars(text.data(), end, membership.index);
  constexpr std::string_view kOf = " of ";
  const std::string_view rest(index.ptr, static_cast<std::size_t>(end - index.ptr));
  if (index.ec != std::errc() || !rest.starts_with(kOf)) return std::nullopt;
  const auto count = std::from_chars(index.ptr + kOf.size(), end, membership.count);
  const bool ends = count.ptr != end && *count.ptr == '\n';
  if (count.ec != std::errc() || !ends || membership.index >= membership.count) return std::nullopt;
  return membership;
}

/// The text from behind a title to the end of its line; nothing if there is no such line.
std::optional<std::string_view> line_of(std::string_view text, std::string_view title) {
  const std::size_t line = text.find(title);
  if (line == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(line + title.size());
  const std::size_t end = rest.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  return rest.substr(0, end);
}

[[noreturn]] void refuse_format(const std::string& where, const std::string& what) {
  throw StoreException(ErrorCode::kFormat,
                       where + "/FORMAT does not tell " + what + "; restore it from a copy");
}

void parse_identity(std::string_view text, const std::string& where, Format& format) {
  const auto id = StoreId::parse(line_of(text, kId).value_or(""));
  if (!id) refuse_format(where, "the identity of the store");
  format.id = *id;
  if (format.membership.is_alone()) return;
  std::string_view rest = line_of(text, kStores).value_or("");
  while (!rest.empty()) {
    const std::string_view word = rest.substr(0, rest.find(' '));
    const auto store = StoreId::parse(word);
    if (!store) break;
    format.stores.push_back(*store);
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
  }
  if (!rest.empty() || format.stores.size() != format.membership.count ||
      !(format.stores[format.membership.index] == format.id)) {
    refuse_format(where, "which servers make up the store");
  }
}

}  // namespace

Format parse_format(std::string_view text, const std::string& where) {
  std::optional<int> version;
  if (text.starts_with(kFormatTitle)) version = parse_version(text.substr(kFormatTitle.size()));
  if (!version) {
    throw StoreException(ErrorCode::kFormat, where + "/FORMAT is not a parsl_tl store's");
  }
  if (*version != kFormatVersion) {
    throw StoreException(
        ErrorCode::kFormat,
        where + " is a store of format " + std::to_string(*version) +
            "; this parsl_tl reads format " + std::to_string(kFormatVersion) +
            (*version > kFormatVersion ? ": install a newer parsl_tl"
                                       : ", in which layers are named otherwise: go on with the "
                                         "release that wrote it, or export its models with that"));
  }
  if (line_of(text, kHashes) != std::to_string(kHashScheme)) {
    throw StoreException(ErrorCode::kFormat,
                         where + " names layers by another scheme than " +
                             std::to_string(kHashScheme) +
                             ", the one of this parsl_tl; use the release that wrote it");
  }
  Format format;
  if (const std::size_t line = text.find(kServer); line != std::string_view::npos) {
    const auto membership = parse_membership(text.substr(line + kServer.size()));
    if (!membership) {
      throw StoreException(ErrorCode::kFormat,
                           where +
                               "/FORMAT does not tell which server of how many this is; "
                               "restore it from a copy");
    }
    format.membership = *membership;
  }
  parse_identity(text, where, format);
  const std::size_t line = text.find(kCompression);
  if (line == std::string_view::npos) return format;
  const std::string_view behind = text.substr(line + kCompression.size());
  const std::string name(behind.substr(0, behind.find('\n')));
  const auto codec = codec_named(name);
  if (!codec) {
    throw StoreException(ErrorCode::kFormat, where + "/FORMAT names an unknown compression, " +
                                                 name + ": install a newer parsl_tl");
  }
  format.codec = *codec;
  return format;
}

Folder::Folder(const std::string& path, bool writable, std::optional<Codec> codec, bool shared)
    : path_(path) {
  try {
    prepare(writable, codec, shared);
  } catch (const fs::filesystem_error& error) {
    throw_errno(error.code().value(), "cannot use", path);
  }
}

void Folder::prepare(bool writable, std::optional<Codec> codec, bool shared) {
  const std::string& path = path_;
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    // Looked at again: another process may have made the folder in between.
    if (fs::exists(path, ignored) && !fs::is_directory(path, ignored)) {
      throw StoreException(ErrorCode::kFormat, path + " is a file, not a store's folder");
    }
    if (!writable) {
      throw StoreException(ErrorCode::kFormat,
                           "no store in " + path + ": the folder does not exist");
    }
    make_folder(path, shared);
  }
  if (const char* name = network_file_system_at(path); name != nullptr) {
    throw StoreException(ErrorCode::kIo,
                         path + " lies on " + name +
                             ", where locks and mappings do not hold between nodes; use a folder "
                             "on a local disk or tmpfs, and for several nodes a server of "
                             "it (parsl-tl store serve)");
  }
  if (writable && ::access(path.c_str(), W_OK) != 0) throw_errno(errno, "cannot write in", path);
  if (!fs::exists(path + "/FORMAT")) {
    const bool is_ours = writable && is_empty_or_half_made(path);
    // Another process may have finished making it while this one looked.
    if (!is_ours && !fs::exists(path + "/FORMAT")) {
      throw StoreException(ErrorCode::kFormat, path +
                                                   " holds no parsl_tl store (there is no file "
                                                   "FORMAT); name an empty or a new folder");
    }
    if (is_ours) create(codec.value_or(Codec::kRaw), shared);
  }
  read_format();
  if (shared) require_shared();
  if (writable) {
    warning_ = tighten(path_, lock_path());
    const auto second = tighten(path_, snapshot_lock_path());
    if (!warning_) warning_ = second;
  }
  if (codec && *codec != this->codec()) {
    throw StoreException(ErrorCode::kInvalidValue,
                         path + " was made with compression " + name_of(this->codec()) + ", not " +
                             name_of(*codec) + "; open it without naming one");
  }
}

std::string segment_path(const std::string& folder, std::uint64_t owner) {
  return folder + "/segments/" + hex_id(owner) + ".seg";
}

void Folder::require_shared() const {
  if (is_shared_folder(path_)) return;
  throw StoreException(ErrorCode::kInvalidValue,
                       path_ +
                           " was made for its owner alone; to share it with its group, its "
                           "owner calls chmod -R g+rwX on it, and chmod g+s on all folders");
}

void Folder::require_parts() const {
  std::error_code ignored;
  for (const std::string& part :
       {path_, path_ + "/FORMAT", log_path(), segments_path(), temporary_path(), lock_path(),
        snapshot_lock_path(), intent_path()}) {
    if (fs::exists(part, ignored)) continue;
    const std::string what = part == path_
                                 ? "the store's folder " + part
                                 : part.substr(path_.size() + 1) + " of the store " + path_;
    throw StoreException(ErrorCode::kFormat,
                         what +
                             " was removed while the store was in use; nothing can be read or "
                             "stored any more. Stop what uses it, and put a copy back, or begin "
                             "with a new folder");
  }
}

FileLock Folder::lock(bool exclusive) const {
  try {
    return FileLock(lock_path(), exclusive);
  } catch (const StoreException& error) {
    if (error.code() == ErrorCode::kNotFound) require_parts();
    throw;
  }
}

void Folder::create(Codec codec, bool shared) const {
  make_folder(path_, shared);  // it may have been there, empty
  for (const std::string& path : {lock_path(), snapshot_lock_path(), intent_path()}) {
    File(path, O_RDWR | O_CREAT);
  }
  const FileLock lock(lock_path(), true);
  if (fs::exists(path_ + "/FORMAT")) return;  // another process was first
  make_folder(segments_path(), shared);
  make_folder(temporary_path(), shared);
  fs::remove(log_path());  // of a creation that was interrupted
  Log::create(log_path());
  write_format({codec, StoreId::random(), {}, {}});
}

std::shared_ptr<const StoreIds> Folder::stores() const {
  const std::lock_guard guard(stores_mutex_);
  return stores_;
}

void Folder::set_stores(StoreIds stores, std::uint32_t index) {
  const Membership membership{index, static_cast<std::uint32_t>(stores.size())};
  write_format({codec(), id_, membership, stores});
  const std::lock_guard guard(stores_mutex_);
  stores_ = std::make_shared<const StoreIds>(std::move(stores));
  membership_ = std::bit_cast<std::uint64_t>(membership);
}

void Folder::require_same_store() const {
  const auto now = store_in(path_);
  if (now == id_) return;
  throw StoreException(ErrorCode::kWrongStore,
                       path_ + " was opened as store " + id_.text() + ", and now holds " +
                           (now ? "store " + now->text() : std::string("none")) +
                           "; put its folder back, or close the store and open the other one");
}

std::optional<StoreId> store_in(const std::string& folder) {
  try {
    const File file(folder + "/FORMAT", O_RDONLY);
    std::string text(file.size(), '\0');
    text.resize(file.read_at(0, text.data(), text.size()));
    return StoreId::parse(line_of(text, kId).value_or(""));
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return std::nullopt;
  }
}

void Folder::write_format(const Format& format) const {
  const std::string temporary = path_ + "/FORMAT.tmp";
  const std::string text = format_text(format);
  File file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  file.write_at(0, text.data(), text.size());
  file.sync_data();
  if (std::rename(temporary.c_str(), (path_ + "/FORMAT").c_str()) != 0) {
    throw_errno(errno, "cannot create", path_ + "/FORMAT");
  }
  sync_folder(path_);
}

void Folder::read_format() {
  const File file(path_ + "/FORMAT", O_RDONLY);
  std::string text(std::min<std::uint64_t>(file.size(), kMostFormatBytes), '\0');
  text.resize(file.read_at(0, text.data(), text.size()));
  const Format format = parse_format(text, path_);
  codec_ = format.codec;
  id_ = format.id;
  stores_ = std::make_shared<const StoreIds>(format.membership.is_alone() ? StoreIds{format.id}
                                                                          : format.stores);
  membership_ = std::bit_cast<std::uint64_t>(format.membership);
  for (const std::string& part : {log_path(), segments_path(), temporary_path(), lock_path(),
                                  snapshot_lock_path(), intent_path()}) {
    if (!fs::exists(part)) {
      throw StoreException(ErrorCode::kCorrupt,
                           part + " is missing from the store; restore it from a copy");
    }
  }
}

void Folder::sweep_temporary() const {
  for (const auto& entry : fs::directory_iterator(temporary_path())) {
    try {
      File file(entry.path().string(), O_RDWR);
      if (file.try_lock()) fs::remove(entry.path());
    } catch (const StoreException& error) {
      // The writer published or removed it between the listing and the opening.
      if (error.code() != ErrorCode::kNotFound) throw;
    }
  }
}

std::uint64_t Folder::sweep_segments(const std::function<bool(std::uint64_t)>& is_known) const {
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(segments_path())) {
    const std::string name = entry.path().filename().string();
    std::uint64_t owner = 0;
    std::from_chars(name.data(), name.data() + name.size(), owner, 16);
    // Other files, whatever their names begin with, are somebody else's.
    if (entry.path() == segment_path(owner) && !is_known(owner)) {
      bytes += entry.file_size();
      fs::remove(entry.path());
    }
  }
  return bytes;
}

}  // namespace parsl_tl
