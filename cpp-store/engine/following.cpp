// A store that follows another one: its log is a copy, byte by byte, of the other's, and so is its
// catalog. Only whoever copies writes to it, until the copy is promoted.
//
// The file `follows` in the folder says that it is such a copy; it tells where the other store is.
// Segments come when they are needed: one that is not here is no damage.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <unordered_set>

#include "access.hpp"
#include "bulk_writing.hpp"
#include "engine.hpp"
#include "errors.hpp"

namespace parsl_tl {
namespace {

// From here on what comes counts as a catching up: folding waits until there is much to fold.
constexpr std::size_t kCatchingUpBytes = 1 << 20;

void write_file(const std::string& path, const void* data, std::size_t size) {
  File file(path, O_RDWR | O_CREAT | O_TRUNC);
  if (size > 0) file.write_at(0, data, size);
  file.sync_data();
}

}  // namespace

std::uint64_t segment_digest(const File& file) {
  constexpr std::uint64_t kPlace = 32;  // in the header; see segment.hpp
  std::uint64_t digest = 0;
  return file.read_at(kPlace, &digest, sizeof digest) == sizeof digest ? digest : 0;
}

LogState Engine::log_state(const LogStamp& known) {
  const View state = refreshed();
  LogState told;
  told.generation = state->log->generation();
  told.position = state->position;
  told.models_put = state->catalog.next_sequence();
  told.is_known = known.position <= state->position && state->log->has(known);
  return told;
}

std::vector<std::uint8_t> Engine::read_log(std::uint64_t generation, std::uint64_t position,
                                           std::uint64_t size) {
  std::shared_ptr<const Log> log;
  std::uint64_t end = 0;
  {
    // Not for as long as it takes to read the file: writers wait for who reads a state.
    const View state = refreshed();
    log = state->log;
    end = state->position;
  }
  if (log->generation() != generation || position > end || size > end - position) {
    throw StoreException(ErrorCode::kStale,
                         "the log of " + folder_.path() + " was written anew; ask where it ends");
  }
  std::vector<std::uint8_t> bytes(size);
  if (log->file().read_at(position, bytes.data(), size) != size) {
    throw StoreException(ErrorCode::kCorrupt,
                         folder_.log_path() + " is shorter than what was read of it before");
  }
  return bytes;
}

LogStamp Engine::log_end() {
  refreshed();
  const std::lock_guard guard(catch_up_mutex_);
  return log_->stamp();
}

std::string Engine::format_text() const {
  return parsl_tl::format_text({folder_.codec(), folder_.id(), folder_.membership(),
                                folder_.membership().is_alone() ? StoreIds() : *folder_.stores()});
}

void Engine::make_copy(const std::string& path, const std::string& format,
                       std::span<const std::uint8_t> log, const std::string& source) {
  parse_format(format, path);  // throws for what is none, or of another release
  const std::string partial = unique_path(parent_of(path), "copy");
  for (const std::string& folder : {partial, partial + "/segments", partial + "/tmp"}) {
    make_folder(folder, false);
  }
  for (const char* name : {"/lock", "/snapshot.lock", "/intent"}) {
    write_file(partial + name, nullptr, 0);
  }
  write_file(follows_path(partial), source.data(), source.size());
  write_file(partial + "/log", log.data(), Log::schema_end(log));
  write_file(partial + "/FORMAT", format.data(), format.size());
  sync_folder(partial);
  if (std::rename(partial.c_str(), path.c_str()) != 0) throw_errno(errno, "cannot create", path);
  sync_folder(parent_of(path));
}

void Engine::require_follows() const {
  if (follows_ && ::access(follows_path(folder_.path()).c_str(), F_OK) == 0) return;
  throw StoreException(ErrorCode::kPermission,
                       folder_.path() + (follows_ ? " was promoted, and follows no other store now"
                                                  : " is a store that follows no other"));
}

bool Engine::append_frames(const LogStamp& behind, std::span<const std::uint8_t> frames) {
  require_open();
  std::optional<BulkWriting> bulk;
  if (frames.size() >= kCatchingUpBytes) bulk.emplace(bulk_writers_);
  {
    const Turn turn(*this);
    require_follows();
    const LogStamp before = log_->stamp();
    if (!(before == behind)) return false;
    log_->append_frames(frames, options_.sync);
    try {
      if (!replay()) throw StoreException(ErrorCode::kCorrupt, "what came is no part of a log");
    } catch (...) {
      log_->cut(before);
      State fresh = load();
      replay_into(fresh, ~std::size_t{0});
      take(fresh);
      throw;
    }
  }
  fold_if_due();
  fold_long_delta();
  return true;
}

void Engine::replace_log(const std::string& path) {
  require_open();
  {
    const Turn turn(*this);
    require_follows();
    if (std::rename(path.c_str(), folder_.log_path().c_str()) != 0) {
      throw_errno(errno, "cannot publish", folder_.log_path());
    }
    sync_folder(folder_.path());
    // Readers go on with what was known until all of it is.
    State fresh = load();
    replay_into(fresh, ~std::size_t{0});
    take(fresh);
  }
  fold_if_due();
}

std::map<std::uint64_t, std::uint64_t> Engine::segments() {
  std::map<std::uint64_t, std::uint64_t> found;
  refreshed()->catalog.for_each_owner(
      [&](std::uint64_t owner, std::uint64_t bytes) { found[owner] = bytes; });
  return found;
}

std::uint64_t Engine::segment_bytes(std::uint64_t owner) {
  return refreshed()->catalog.segment_bytes(owner);
}

std::shared_ptr<Segment> Engine::open_segment(std::uint64_t owner) {
  require_open();
  return segment(owner);
}

void Engine::drop_segment(std::uint64_t owner) {
  require_follows();
  ::unlink(folder_.segment_path(owner).c_str());
  segments_.forget(owner);
}

std::vector<std::uint64_t> Engine::models_lacking_segments() {
  // Of many models, few owners: a look for each.
  std::unordered_set<std::uint64_t> missing;
  for (const auto& [owner, bytes] : segments()) {
    if (::access(folder_.segment_path(owner).c_str(), F_OK) != 0) missing.insert(owner);
  }
  std::vector<std::uint64_t> lacking;
  if (missing.empty()) return lacking;
  refreshed()->catalog.for_each_model(false, [&](const Model& model) {
    const auto is_missing = [&](const LayerRecord& layer) {
      return layer.has_weights && missing.contains(layer.owner);
    };
    if (std::any_of(model.layers.begin(), model.layers.end(), is_missing)) {
      lacking.push_back(model.id);
    }
  });
  return lacking;
}

void Engine::stop_following() {
  require_open();
  const Turn turn(*this);
  require_follows();
  if (::unlink(follows_path(folder_.path()).c_str()) != 0) {
    throw_errno(errno, "cannot remove", follows_path(folder_.path()));
  }
  sync_folder(folder_.path());
}

}  // namespace parsl_tl
