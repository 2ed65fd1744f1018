// What keeps a store small and quick to open: snapshots and compaction.
#include <arrow/buffer.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>

#include "engine.hpp"
#include "errors.hpp"
#include "snapshot_writer.hpp"

namespace parsl_tl {
namespace {

constexpr std::size_t kGroup = 256;  // records that go into one frame of a compacted log

std::uint64_t file_bytes(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) throw_errno(errno, "cannot stat", path);
  return static_cast<std::uint64_t>(info.st_size);
}

}  // namespace

/// A delta is private memory of every process, a snapshot is shared: folding early keeps eight
/// processes near the memory of one, folding late keeps the work of writing snapshots small. While
/// models come by the thousand, the work counts more.
std::size_t Engine::due_changes(std::size_t models) const {
  return bulk_writers_ > 0 ? std::max<std::size_t>(65536, models / 8)
                           : std::max<std::size_t>(4096, models / 128);
}

void Engine::fold_if_due() {
  {
    const View state = state_.read();
    const Catalog& catalog = state->catalog;
    if (catalog.num_changes() < due_changes(catalog.num_models())) return;
  }
  const std::lock_guard guard(fold_mutex_);
  if (fold_due_ || stop_) return;
  fold_due_ = true;
  if (!folder_thread_.joinable()) folder_thread_ = std::thread([this] { run_folds(); });
  fold_wanted_.notify_all();
}

void Engine::run_folds() {
  std::unique_lock lock(fold_mutex_);
  while (!stop_) {
    fold_wanted_.wait(lock, [this] { return fold_due_ || stop_; });
    if (stop_) return;
    lock.unlock();
    try {
      // In two statements: whoever still reads a state must not replace it.
      const std::size_t models = state_.read()->catalog.num_models();
      // Another process may be at it: then there is nothing to do here.
      const auto folding = FileLock::try_lock(folder_.snapshot_lock_path(), true);
      if (folding) fold_locked(due_changes(models));
    } catch (const std::exception& error) {
      warn(std::string("no snapshot was made: ") + error.what());
    }
    lock.lock();
    // The disk may be full: not again at once.
    fold_wanted_.wait_for(lock, std::chrono::milliseconds(200), [this] { return stop_.load(); });
    fold_due_ = false;
  }
}

void Engine::fold() {
  require_open();
  require_writable();
  refreshed();
  const FileLock lock(folder_.snapshot_lock_path(), true);
  fold_locked(1);
}

void Engine::fold_locked(std::size_t least_changes) {
  if (!options_.read_only) {
    // From the files, not from the state in use: nobody waits for this.
    State state = load();
    replay_into(state, ~std::size_t{0});
    if (stop_) return;
    if (state.catalog.num_changes() >= least_changes) {
      state.log->sync();  // a snapshot must not outlive, in a power cut, what it was made from
      if (!write_snapshot(state.catalog, {state.log->generation(), state.position},
                          folder_.temporary_path(), folder_.snapshot_path(), stop_)) {
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
  log_ = fresh.log;
  state_.update([&](State& side) { side = fresh; });
  forget_all();
}

CompactReport Engine::compact() {
  require_open();
  require_writable();
  CompactReport report;
  shrink_segments(report);
  rewrite_log(report);
  return report;
}

void Engine::shrink_segments(CompactReport& report) {
  struct Shrunk {
    std::uint64_t owner;
    std::uint64_t before;
    std::unique_ptr<SegmentWriter> writer;
  };
  std::unordered_map<std::uint64_t, std::unordered_set<std::uint64_t>> living;
  {
    const View state = refreshed();
    state->catalog.for_each_layer([&](std::uint64_t owner, std::uint64_t key, const LayerUse&) {
      living[owner].insert(key);
    });
  }
  const auto publish = [&](std::vector<Shrunk>& group) {
    std::vector<Record> records;
    const Turn turn(*this);
    for (Shrunk& shrunk : group) {
      // Layers may have died since, none can have come back.
      if (state_.read()->catalog.segment_bytes(shrunk.owner) == 0) continue;
      Record record;
      record.operation = Operation::kShrink;
      record.model_id = shrunk.owner;
      record.segment_bytes = shrunk.writer->file_bytes();
      shrunk.writer->publish(folder_.segment_path(shrunk.owner));
      report.bytes_freed += shrunk.before - record.segment_bytes;
      ++report.segments_rewritten;
      records.push_back(std::move(record));
      const std::lock_guard guard(cache_mutex_);
      segments_.erase(shrunk.owner);
    }
    if (!records.empty()) append(std::move(records));
    group.clear();
  };
  std::vector<Shrunk> group;
  for (const auto& entry : living) {
    const std::uint64_t owner = entry.first;
    const auto& keys = entry.second;
    std::shared_ptr<Segment> source;
    try {
      source = std::make_shared<Segment>(folder_.segment_path(owner), owner, false);
    } catch (const StoreException& error) {
      if (error.code() == ErrorCode::kNotFound) continue;  // retired meanwhile
      throw;
    }
    const auto& directory = source->directory();
    const bool all_living = std::all_of(directory.begin(), directory.end(), [&](const auto& tensor) {
      return keys.contains(tensor.key);
    });
    if (all_living) continue;
    group.push_back({owner, source->file_bytes(),
                     std::make_unique<SegmentWriter>(folder_.temporary_path(), *source, keys,
                                                     options_.sync)});
    if (group.size() == kGroup) publish(group);
  }
  if (!group.empty()) publish(group);

  const Turn turn(*this);
  const View state = state_.read();
  report.bytes_freed += folder_.sweep_segments(
      [&](std::uint64_t owner) { return state->catalog.segment_bytes(owner) > 0; });
}

void Engine::rewrite_log(CompactReport& report) {
  const FileLock no_snapshots(folder_.snapshot_lock_path(), true);
  const Turn turn(*this);
  const std::string temporary = folder_.temporary_path() + "/tmp-log-" + std::to_string(::getpid());
  const std::uint64_t before = log_->size();
  ::unlink(temporary.c_str());
  try {
    Log::create(temporary);
    Log rewritten(temporary, true);
    std::vector<Record> group;
    const auto flush = [&] {
      if (!group.empty()) rewritten.append(*encode(group), false);
      group.clear();
    };
    {
      const View state = state_.read();
      const Catalog& catalog = state->catalog;
      bool retired = false;
      std::unordered_map<std::uint64_t, std::vector<LayerRecord>> left;  // of retired owners
      catalog.for_each_layer([&](std::uint64_t owner, std::uint64_t key, const LayerUse& use) {
        if (!catalog.contains(owner)) left[owner].push_back({key, "", owner, use.bytes, true});
      });
      catalog.for_each_used([&](std::uint64_t id, std::optional<std::uint64_t> parent, bool living) {
        if (living) return;
        retired = true;
        Record record;
        record.operation = Operation::kDeparted;
        record.model_id = id;
        record.parent = parent;
        record.layers = left[id];
        record.segment_bytes = record.layers.empty() ? 0 : catalog.segment_bytes(id);
        group.push_back(std::move(record));
        if (group.size() == kGroup) flush();
      });
      flush();
      if (!retired) {  // nothing that the log could do without
        ::unlink(temporary.c_str());
        return;
      }
      std::uint64_t offset = 0;
      std::vector<Record> frame;
      catalog.for_each_model(false, [&](const Model& model) {
        if (model.place.offset != offset || frame.empty()) {
          offset = model.place.offset;
          frame = decode(log_->read_frame(offset));
        }
        group.push_back(frame.at(model.place.row));
        group.back().segment_bytes = catalog.segment_bytes(model.id);
        if (group.size() == kGroup) flush();
      });
      flush();
    }
    rewritten.sync();
    if (std::rename(temporary.c_str(), folder_.log_path().c_str()) != 0) {
      throw_errno(errno, "cannot publish", folder_.log_path());
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  const std::uint64_t after = file_bytes(folder_.log_path());
  report.bytes_freed += before > after ? before - after : 0;
  State state = load();
  replay_into(state, ~std::size_t{0});
  write_snapshot(state.catalog, {state.log->generation(), state.position},
                 folder_.temporary_path(), folder_.snapshot_path(), stop_);
  state = load();
  replay_into(state, ~std::size_t{0});
  log_ = state.log;
  state_.update([&](State& side) { side = state; });
  forget_all();
}

}  // namespace parsl_tl
