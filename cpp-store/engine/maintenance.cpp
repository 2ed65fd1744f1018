// What keeps a store small and quick to open: snapshots and compaction.
#include <unistd.h>

#include <chrono>

#include "engine.hpp"
#include "errors.hpp"
#include "snapshot_writer.hpp"

namespace parsl_tl {
namespace {

// What goes into one frame of a compacted log, or is published in one turn.
constexpr std::size_t kShrunkModels = 256;
constexpr std::uint64_t kShrunkBytes = 64 << 20;
// A delta takes ten times the memory of a snapshot, and its queries take longer.
constexpr std::size_t kMostUnfolded = 131072;

}  // namespace

/// A delta is private memory of every process, a snapshot is shared: folding early keeps eight
/// processes near the memory of one, folding late keeps the work of writing snapshots small. While
/// models come by the thousand, the work counts more.
std::size_t Engine::due_changes(std::size_t models) const {
  return bulk_writers_ > 0 ? std::max<std::size_t>(65536, models / 8)
                           : std::max<std::size_t>(4096, models / 128);
}

bool Engine::fold_is_due(std::size_t models) const {
  return state_.read()->catalog.num_changes() >= due_changes(models);
}

void Engine::fold_if_due() {
  {
    const View state = state_.read();
    const Catalog& catalog = state->catalog;
    const bool is_due = catalog.num_changes() >= due_changes(catalog.num_models());
    if (!is_due && (!rewrites_log() || state->position < rewrite_look_)) return;
  }
  if (process_ != ::getpid()) return;  // a fork leaves it to the others
  const std::lock_guard guard(folding_->mutex);
  if (folding_->due || stop_) return;
  folding_->due = true;
  if (!folding_->thread.joinable()) folding_->thread = std::thread([this] { run_folds(); });
  folding_->wanted.notify_all();
}

void Engine::fold_long_delta() {
  std::size_t models = 0;
  {
    const View state = state_.read();
    models = state->catalog.num_models();
    if (state->catalog.num_changes() < std::max(kMostUnfolded, models / 4)) return;
  }
  if (process_ != ::getpid()) return;
  try {
    // First for the fold at work, after which there may be little left to do.
    const FileLock lock(folder_.snapshot_lock_path(), true);
    fold_locked(due_changes(models));
  } catch (const StoreException& error) {
    warn(std::string("no snapshot was made: ") + error.what());
  }
}

void Engine::run_folds() {
  Folding& folding = *folding_;
  std::unique_lock lock(folding.mutex);
  while (!stop_) {
    folding.wanted.wait(lock, [&] { return folding.due || stop_; });
    if (stop_) return;
    lock.unlock();
    const auto snapshot = [&] { return state_.read()->catalog.base(); };
    const auto before = snapshot();
    try {
      // In two statements: whoever still reads a state must not replace it.
      const std::size_t models = state_.read()->catalog.num_models();
      // Another process may be at it: then there is nothing to do here.
      const auto folding = FileLock::try_lock(folder_.snapshot_lock_path(), true);
      if (folding && fold_is_due(models)) fold_locked(due_changes(models));
    } catch (const std::exception& error) {
      warn(std::string("no snapshot was made: ") + error.what());
    }
    rewrite_if_due();
    lock.lock();
    // The disk may be full: not again at once.
    folding.wanted.wait_for(lock, std::chrono::milliseconds(200), [this] { return stop_.load(); });
    // What came meanwhile asked in vain, and where writing has ended nobody asks again.
    folding.due = snapshot() != before && fold_is_due(state_.read()->catalog.num_models());
  }
}

void Engine::fold() {
  require_open();
  if (!follows_) require_writable();  // a copy's snapshot is its own
  refreshed();
  in_folder([&] {
    const FileLock lock(folder_.snapshot_lock_path(), true);
    fold_locked(1);
  });
}

void Engine::fold_locked(std::size_t least_changes) {
  if (!options_.read_only) {
    // From the files, not from the state in use: nobody waits for this.
    const State state = load_all();
    if (stop_) return;
    if (state.catalog.num_changes() >= least_changes) {
      state.log->sync();  // a snapshot must not outlive, in a power cut, what it was made from
      if (!write_snapshot(state.catalog, state.log->stamp(), folder_.temporary_path(),
                          folder_.snapshot_path(), stop_)) {
        return;
      }
    }
  }
  adopt();
}

void Engine::adopt() {
  State fresh = load();
  replay_into(fresh, ~std::size_t{0});
  const std::lock_guard guard(catch_up_mutex_);
  if (stop_) return;
  const bool same_log = fresh.log->generation() == log_->generation();
  while (same_log && fresh.position < log_->position()) {
    const std::uint64_t before = fresh.position;
    replay_into(fresh, ~std::size_t{0});
    if (fresh.position == before) return;  // nothing lost: the state in use stays
  }
  take(fresh);
}

CompactReport Engine::compact() {
  require_open();
  require_writable();
  CompactReport report;
  in_folder([&] {
    shrink_segments(report);
    const FileLock no_snapshots(folder_.snapshot_lock_path(), true);
    const auto rewrite = [&] { report.bytes_freed += rewrite_log_locked(); };
    try {
      rewrite();
    } catch (const StoreException& error) {
      // Once more with all that is kept back: a log without what is of no use gives it back at
      // once.
      if (error.code() != ErrorCode::kFull || !reserve_->release_all()) throw;
      rewrite();
    }
  });
  reserve_->restore();
  return report;
}

/// Segments that were written anew without what died, and wait for being published together.
class Engine::ShrunkGroup {
 public:
  ShrunkGroup(Engine& engine, CompactReport& report) : engine_(engine), report_(report) {}

  void add(const Segment& source, const std::unordered_set<std::uint64_t>& keys) {
    try {
      write(source, keys);
    } catch (const StoreException& error) {
      // What is published gives its space back, which may be enough; or what is kept back is.
      if (error.code() != ErrorCode::kFull) throw;
      if (waiting_.empty() && !engine_.reserve_->release_all()) throw;
      publish();
      write(source, keys);
    }
    bytes_ += waiting_.back().writer->file_bytes();
    if (waiting_.size() == kShrunkModels || bytes_ >= kShrunkBytes) publish();
  }

  /// For a segment that was written anew by somebody who died before he could say so.
  void add_size(std::uint64_t owner, std::uint64_t file_bytes) {
    waiting_.push_back({owner, file_bytes, file_bytes, nullptr});
    if (waiting_.size() == kShrunkModels) publish();
  }

  void publish() {
    if (waiting_.empty()) return;
    std::vector<Record> records;
    const Turn turn(engine_);
    for (Shrunk& shrunk : waiting_) {
      // Layers may have died since, none can have come back.
      if (engine_.state_.read()->catalog.segment_bytes(shrunk.owner) == 0) continue;
      Record record;
      record.operation = Operation::kShrink;
      record.model_id = shrunk.owner;
      record.segment_bytes = shrunk.after;
      records.push_back(std::move(record));
      if (shrunk.writer == nullptr) continue;
      shrunk.writer->publish(engine_.folder_.segment_path(shrunk.owner));
      report_.bytes_freed += shrunk.before - shrunk.after;
      ++report_.segments_rewritten;
      engine_.segments_.forget(shrunk.owner);
    }
    if (!records.empty()) engine_.append(std::move(records), Need::kFreesSpace);
    waiting_.clear();
    bytes_ = 0;
  }

 private:
  struct Shrunk {
    std::uint64_t owner;
    std::uint64_t before;
    std::uint64_t after;
    std::unique_ptr<SegmentWriter> writer;
  };

  void write(const Segment& source, const std::unordered_set<std::uint64_t>& keys) {
    auto writer = std::make_unique<SegmentWriter>(engine_.folder_.temporary_path(), source, keys,
                                                  engine_.options_.sync);
    const std::uint64_t after = writer->file_bytes();
    waiting_.push_back({source.model_id(), source.file_bytes(), after, std::move(writer)});
  }

  Engine& engine_;
  CompactReport& report_;
  std::vector<Shrunk> waiting_;
  std::uint64_t bytes_ = 0;
};

void Engine::shrink_segments(CompactReport& report) {
  struct Living {
    std::unordered_set<std::uint64_t> keys;
    std::uint64_t segment_bytes = 0;
  };
  std::unordered_map<std::uint64_t, Living> living;
  {
    const View state = refreshed();
    state->catalog.for_each_layer([&](std::uint64_t owner, std::uint64_t key, const LayerUse&) {
      living[owner].keys.insert(key);
    });
    for (auto& entry : living) {
      entry.second.segment_bytes = state->catalog.segment_bytes(entry.first);
    }
  }
  ShrunkGroup group(*this, report);
  for (const auto& entry : living) {
    const std::uint64_t owner = entry.first;
    const auto& keys = entry.second.keys;
    std::unique_ptr<Segment> source;
    try {
      source = std::make_unique<Segment>(folder_.segment_path(owner), owner, false);
    } catch (const StoreException& error) {
      if (error.code() == ErrorCode::kNotFound) continue;  // retired meanwhile
      throw;
    }
    const auto& directory = source->directory();
    if (!std::all_of(directory.begin(), directory.end(),
                     [&](const TensorInfo& tensor) { return keys.contains(tensor.key); })) {
      group.add(*source, keys);
    } else if (source->file_bytes() != entry.second.segment_bytes) {
      group.add_size(owner, source->file_bytes());
    }
  }
  group.publish();

  const Turn turn(*this);
  const View state = state_.read();
  report.bytes_freed += folder_.sweep_segments(
      [&](std::uint64_t owner) { return state->catalog.segment_bytes(owner) > 0; });
}

}  // namespace parsl_tl
