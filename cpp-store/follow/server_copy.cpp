#include "server_copy.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "errors.hpp"

namespace parsl_tl {
namespace {

// Read at once: of a log, and of a segment.
constexpr std::uint64_t kPageBytes = 4 << 20;
constexpr std::uint64_t kPieceBytes = 64 << 20;
// What a log begins with, the schema, is shorter by far.
constexpr std::uint64_t kLogBeginning = 1 << 20;
constexpr std::size_t kOwnersAtOnce = 10'000;
constexpr int kPullAttempts = 3;

/// A file that is removed unless it got another name.
class Arriving {
 public:
  explicit Arriving(const std::string& folder) : file_(create_temporary(folder, "pull")) {}
  ~Arriving() {
    if (!is_published_) ::unlink(file_.path().c_str());
  }
  Arriving(const Arriving&) = delete;
  Arriving& operator=(const Arriving&) = delete;

  File& file() noexcept { return file_; }
  void publish(const std::string& path) {
    if (std::rename(file_.path().c_str(), path.c_str()) != 0) {
      throw_errno(errno, "cannot publish", path);
    }
    is_published_ = true;
  }
  void was_published() noexcept { is_published_ = true; }

 private:
  File file_;
  bool is_published_ = false;
};

/// Reads [begin, end) of the server's log into a file.
void read_log_into(File& file, RemoteStore& leader, std::size_t place, std::uint64_t generation,
                   std::uint64_t end) {
  std::vector<std::uint8_t> page;
  for (std::uint64_t position = 0; position < end; position += page.size()) {
    page.resize(std::min(kPageBytes, end - position));
    leader.read_log(place, generation, position, page);
    file.write_at(position, page.data(), page.size());
  }
}

}  // namespace

ServerCopy::ServerCopy(const std::string& folder, std::size_t place, PulledSegments& pulled)
    : place_(place), pulled_(pulled), engine_(std::make_unique<Engine>(folder, EngineOptions{})) {
  find_segments();
}

void ServerCopy::make(const std::string& folder, RemoteStore& leader, std::size_t place,
                      const std::string& source) {
  if (::access((folder + "/FORMAT").c_str(), F_OK) == 0) return;
  const LogStateReply state = leader.log_state(place, {});
  if (parse_format(state.format, source).membership.count != leader.num_servers()) {
    throw StoreException(ErrorCode::kBusy,
                         "the servers at " + source +
                             " hold nothing yet, and are no store together; they are followed "
                             "when the first model is stored");
  }
  std::vector<std::uint8_t> beginning(std::min(kLogBeginning, state.position));
  leader.read_log(place, state.generation, 0, beginning);
  Engine::make_copy(folder, state.format, beginning, source);
}

/// Those that were pulled by an earlier process: in the order in which they came.
void ServerCopy::find_segments() {
  namespace fs = std::filesystem;
  struct Found {
    fs::file_time_type when;
    std::uint64_t owner;
    std::uint64_t bytes;
  };
  std::vector<Found> found;
  for (const auto& entry : fs::directory_iterator(engine_->folder() + "/segments")) {
    const std::string name = entry.path().filename().string();
    std::uint64_t owner = 0;
    std::from_chars(name.data(), name.data() + name.size(), owner, 16);
    if (entry.path() != engine_->segment_file(owner)) continue;
    found.push_back({entry.last_write_time(), owner, entry.file_size()});
  }
  std::sort(found.begin(), found.end(),
            [](const Found& a, const Found& b) { return a.when < b.when; });
  for (const Found& segment : found) pulled_.add(*engine_, segment.owner, segment.bytes);
}

bool ServerCopy::find_segment(std::uint64_t owner) {
  if (pulled_.has(*engine_, owner)) return false;
  std::error_code absent;
  const auto bytes = std::filesystem::file_size(engine_->segment_file(owner), absent);
  if (absent) return false;
  pulled_.add(*engine_, owner, bytes);
  return true;
}

bool ServerCopy::advance(RemoteStore& leader) {
  const LogStamp here = engine_->log_end();
  const LogStateReply state = leader.log_state(place_, here);
  if (state.format != engine_->format_text()) {
    throw StoreException(ErrorCode::kWrongStore,
                         "the servers make up another store than the one that was followed; stop "
                         "this server and remove " +
                             engine_->folder() + " to follow them as they are now");
  }
  if (!state.is_known) {
    read_again(leader, state);
    drop_unneeded();
    return true;
  }
  const std::uint64_t known = engine_->log_state({}).models_put;
  models_behind_ = state.models_put > known ? state.models_put - known : 0;
  bytes_behind_ = state.position - std::min(here.position, state.position);
  if (bytes_behind_ == 0) {
    models_behind_ = 0;
    return false;
  }
  // A record may be longer than a page.
  std::vector<std::uint8_t> bytes;
  std::uint64_t whole = 0;
  while (whole == 0) {
    const std::uint64_t begin = bytes.size();
    const std::uint64_t size = std::min(kPageBytes, bytes_behind_ - begin);
    if (size == 0) {
      throw StoreException(ErrorCode::kCorrupt, "the log that came over ends within a record");
    }
    bytes.resize(begin + size);
    leader.read_log(place_, state.generation, here.position + begin,
                    std::span(bytes).subspan(begin));
    whole = Log::whole_frames(bytes);
  }
  engine_->append_frames(here, std::span(bytes).first(whole));
  bytes_behind_ = bytes_behind_ - whole;
  if (bytes_behind_ == 0) {
    models_behind_ = 0;
    engine_->fold_if_due();  // which waits for more while much comes
  }
  drop_unneeded();
  return true;
}

/// The other store wrote its log anew, or went back to a copy of it.
void ServerCopy::read_again(RemoteStore& leader, const LogStateReply& state) {
  Arriving arriving(engine_->temporary_path());
  read_log_into(arriving.file(), leader, place_, state.generation, state.position);
  const Log log(arriving.file().path(), false);
  if (log.generation() != state.generation || log.check(state.position)) {
    throw StoreException(ErrorCode::kCorrupt, "the log that came over is damaged");
  }
  arriving.file().sync_data();
  const std::unique_lock alone(going_back_);
  drop_others(leader);
  engine_->replace_log(arriving.file().path());
  arriving.was_published();
}

/// Segments that are not what the other store has under their owners' ids: a store that went back
/// to a copy of it may have used an id anew.
void ServerCopy::drop_others(RemoteStore& leader) {
  const Owners here = pulled_.owners(*engine_);
  const std::vector<std::uint64_t> owners(here.begin(), here.end());
  for (std::size_t first = 0; first < owners.size(); first += kOwnersAtOnce) {
    const std::size_t last = std::min(owners.size(), first + kOwnersAtOnce);
    const SegmentSizesReply theirs =
        leader.segment_sizes(place_, {owners.begin() + static_cast<std::ptrdiff_t>(first),
                                      owners.begin() + static_cast<std::ptrdiff_t>(last)});
    for (std::size_t i = first; i < last; ++i) {
      const File file(engine_->segment_file(owners[i]), O_RDONLY);
      if (segment_digest(file) != theirs.digests[i - first]) pulled_.drop(*engine_, owners[i]);
    }
  }
}

void ServerCopy::drop_unneeded() {
  for (const std::uint64_t owner : pulled_.owners(*engine_)) {
    if (engine_->segment_bytes(owner) == 0) pulled_.drop(*engine_, owner);
  }
}

std::vector<std::uint64_t> ServerCopy::missing() {
  const Owners here = pulled_.owners(*engine_);
  std::vector<std::uint64_t> missing;
  for (const auto& [owner, bytes] : engine_->segments()) {
    if (!here.contains(owner)) missing.push_back(owner);
  }
  return missing;
}

void ServerCopy::pull(RemoteStore& leader, std::uint64_t owner) {
  {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return !on_their_way_.contains(owner); });
    if (pulled_.has(*engine_, owner)) return;  // another thread pulled it meanwhile
    on_their_way_.insert(owner);
  }
  const auto arrived = [&] {
    const std::lock_guard guard(mutex_);
    on_their_way_.erase(owner);
    arrived_.notify_all();
  };
  try {
    download(leader, owner);
  } catch (...) {
    arrived();
    throw;
  }
  arrived();
}

void ServerCopy::download(RemoteStore& leader, std::uint64_t owner) {
  const std::shared_lock pulls(going_back_);
  for (int attempt = 1;; ++attempt) {
    const std::uint64_t size = leader.segment_sizes(place_, {owner}).sizes.front();
    if (size == 0) {
      throw StoreException(ErrorCode::kNotFound,
                           "model " + hex_id(owner) + " owns no weights there any more");
    }
    Arriving arriving(engine_->temporary_path());
    std::vector<std::uint8_t> piece;
    try {
      for (std::uint64_t offset = 0; offset < size; offset += piece.size()) {
        piece.resize(std::min(kPieceBytes, size - offset));
        leader.read_segment(place_, owner, size, offset, piece);
        arriving.file().write_at(offset, piece.data(), piece.size());
      }
    } catch (const StoreException& error) {
      // Written anew in between, without layers that died.
      if (error.code() == ErrorCode::kStale && attempt < kPullAttempts) continue;
      throw;
    }
    const Segment segment(arriving.file().path(), owner, false);
    for (std::uint32_t i = 0; i < segment.directory().size(); ++i) {
      segment.check(i, hex_id(segment.directory()[i].key));
    }
    arriving.publish(engine_->segment_file(owner));
    pulled_.add(*engine_, owner, size);
    bytes_pulled_ += size;
    ++segments_pulled_;
    return;
  }
}

}  // namespace parsl_tl
