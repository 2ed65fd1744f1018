// Writing the log anew without what nobody needs of it: by itself when it has outgrown what lives,
// and as a part of compaction.
//
// The records are copied from the file, beside everything else that goes on; only for what was
// appended meanwhile, and for the new name, do writers wait. Until it has its name, the new log is
// a temporary file, so that a death at any moment leaves the old one or the new one.
#include <arrow/buffer.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "engine.hpp"
#include "errors.hpp"
#include "snapshot_writer.hpp"

namespace parsl_tl {
namespace {

// What goes into one frame of a compacted log.
constexpr std::size_t kFrameRecords = 256;
constexpr std::uint64_t kFrameBytes = 64 << 20;
// A log is written anew when it has this many times the bytes of the records that are needed.
constexpr std::uint64_t kMostTimes = 4;

/// Appends records in groups.
class GroupedLog {
 public:
  explicit GroupedLog(Log& log) : log_(log) {}

  void add(Record record) {
    bytes_ += record.architecture.size() + record.attributes.size();
    group_.push_back(std::move(record));
    if (group_.size() == kFrameRecords || bytes_ >= kFrameBytes) flush();
  }
  void flush() {
    if (!group_.empty()) log_.append(*encode(group_), false);
    group_.clear();
    bytes_ = 0;
  }

 private:
  Log& log_;
  std::vector<Record> group_;
  std::uint64_t bytes_ = 0;
};

/// What stands for the models that were retired. False if there are none.
bool add_departed(const Catalog& catalog, GroupedLog& out) {
  std::unordered_map<std::uint64_t, std::vector<LayerRecord>> left;  // layers that others hold
  catalog.for_each_layer([&](std::uint64_t owner, std::uint64_t key, const LayerUse& use) {
    if (!catalog.contains(owner)) left[owner].push_back({key, "", owner, use.bytes, true});
  });
  bool any = false;
  catalog.for_each_used([&](std::uint64_t id, std::optional<std::uint64_t> parent, bool living) {
    if (living) return;
    any = true;
    Record record;
    record.operation = Operation::kDeparted;
    record.model_id = id;
    record.parent = parent;
    if (const auto layers = left.find(id); layers != left.end()) {
      record.layers = std::move(layers->second);
      record.segment_bytes = catalog.segment_bytes(id);
    }
    out.add(std::move(record));
  });
  return any;
}

/// Copies the records of living models, and of retired ones what others need. False, and `to` is of
/// no use, if `from` holds nothing else.
bool copy_needed_records(const Catalog& catalog, const Log& from, Log& to) {
  GroupedLog out(to);
  if (!add_departed(catalog, out)) return false;
  std::uint64_t offset = 0;
  std::vector<Record> frame;
  catalog.for_each_holder(false, [&](const Model& model) {
    if (model.place.offset != offset || frame.empty()) {
      offset = model.place.offset;
      frame = decode(from.read_frame(offset));
    }
    Record record = frame.at(model.place.row);
    record.segment_bytes = catalog.segment_bytes(model.id);
    out.add(std::move(record));
  });
  out.flush();
  return true;
}

/// How many bytes of the log are needed: the frames that hold living models, and what stands for
/// the ids of retired ones.
std::uint64_t needed_bytes(const Catalog& catalog, const Log& log) {
  constexpr std::uint64_t kDepartedBytes = 64;  // in a group, with what others may hold of it
  std::uint64_t bytes = 0;
  std::uint64_t last = 0;
  catalog.for_each_holder(false, [&](const Model& model) {
    if (model.place.offset == last) return;
    last = model.place.offset;
    bytes += log.frame_bytes(last);
  });
  catalog.for_each_used([&](std::uint64_t, std::optional<std::uint64_t>, bool living) {
    if (!living) bytes += kDepartedBytes;
  });
  return bytes;
}

/// A log to be, under a name that nobody else has; locked, so that no clean-up removes it.
class TemporaryLog {
 public:
  explicit TemporaryLog(const std::string& folder) {
    do {
      log_.reset();
      path_ = unique_path(folder, "log");
      Log::create(path_);
      log_ = std::make_unique<Log>(path_, true);
      // A clean-up may have found it between the two.
    } while (!log_->try_lock() || ::access(path_.c_str(), F_OK) != 0);
  }
  ~TemporaryLog() {
    if (!published_) ::unlink(path_.c_str());
  }
  TemporaryLog(const TemporaryLog&) = delete;
  TemporaryLog& operator=(const TemporaryLog&) = delete;

  Log& log() noexcept { return *log_; }
  void publish(const std::string& path) {
    if (std::rename(path_.c_str(), path.c_str()) != 0) throw_errno(errno, "cannot publish", path);
    published_ = true;
  }

 private:
  std::string path_;
  std::unique_ptr<Log> log_;
  bool published_ = false;
};

}  // namespace

void Engine::rewrite_if_due() {
  if (!rewrites_log() || stop_ || state_.read()->position < rewrite_look_) return;
  try {
    // Another process may be at it: then there is nothing to do here.
    const auto lock = FileLock::try_lock(folder_.snapshot_lock_path(), true);
    if (!lock) return;
    const State state = load_all();
    if (stop_) return;
    if (state.position >= kLeastRewritten &&
        state.position > kMostTimes * needed_bytes(state.catalog, *state.log)) {
      rewrite_log_locked(state);
    }
  } catch (const std::exception& error) {
    warn(std::string("the log was not written anew: ") + error.what());
  }
  // Counting takes time: again when it has grown by a quarter.
  const std::uint64_t now = state_.read()->position;
  rewrite_look_ = std::max(kLeastRewritten, now + now / 4);
}

Engine::State Engine::load_all() {
  State state = load();
  try {
    if (const Snapshot* base = state.catalog.base()) base->verify_index();
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kCorrupt) throw;
    warn(std::string(error.what()) + " (it was passed over)");
    state = load(false);
  }
  replay_into(state, ~std::size_t{0});
  return state;
}

std::uint64_t Engine::rewrite_log_locked() { return rewrite_log_locked(load_all()); }

std::uint64_t Engine::rewrite_log_locked(const State& state) {
  TemporaryLog rewritten(folder_.temporary_path());
  const bool any = copy_needed_records(state.catalog, *state.log, rewritten.log());
  if (stop_ || !any) return 0;
  rewritten.log().sync();  // most of it, while nobody waits
  std::uint64_t before = 0;
  {
    const Turn turn(*this);
    // What came since is taken over as it is: it tells of changes to what the records told.
    while (const auto payload = state.log->next()) rewritten.log().append(*payload, false);
    if (state.log->position() != log_->position() ||
        state.log->generation() != log_->generation()) {
      throw StoreException(
          ErrorCode::kCorrupt,
          folder_.log_path() + " changed while it was read; restore it from a copy");
    }
    before = log_->size();
    rewritten.log().file().copy_access(log_->file());
    rewritten.log().sync();
    rewritten.publish(folder_.log_path());
    if (options_.sync) sync_folder(folder_.path());
  }
  const std::uint64_t after = rewritten.log().size();
  snapshot_rewritten();
  return before > after ? before - after : 0;
}

/// The snapshot was the old log's: without a new one, every process would read the new log itself.
void Engine::snapshot_rewritten() {
  try {
    fold_locked(0);
  } catch (const StoreException& error) {
    // Without a snapshot the state is as right, and takes more memory.
    warn(std::string("no snapshot was made: ") + error.what());
  }
}

}  // namespace parsl_tl
