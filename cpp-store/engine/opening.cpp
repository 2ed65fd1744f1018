// How the engine comes to its state: opening, replaying the log, and taking turns at writing.
#include <arrow/buffer.h>
#include <unistd.h>

#include "engine.hpp"
#include "errors.hpp"
#include "parallel.hpp"
#include "snapshot_writer.hpp"

namespace parsl_tl {
namespace {

constexpr std::size_t kFramesAtOnce = 1024;

struct Frames {
  std::vector<std::shared_ptr<arrow::Buffer>> payloads;
  std::vector<std::uint64_t> offsets;
  bool whole = true;  // false: what follows is no frame
};

Frames read_frames(Log& log) {
  Frames frames;
  while (frames.payloads.size() < kFramesAtOnce) {
    const std::uint64_t offset = log.position();
    if (log.size() <= offset) break;
    auto payload = log.next();
    frames.whole = payload != nullptr;
    if (!frames.whole) break;
    frames.payloads.push_back(std::move(payload));
    frames.offsets.push_back(offset);
  }
  return frames;
}

/// Frames are decoded beside each other, and applied one after the other.
std::vector<Catalog::Change> read_changes(const Frames& frames, std::uint64_t sequence) {
  std::vector<std::vector<Record>> decoded(frames.payloads.size());
  const unsigned threads = frames.payloads.size() < 32 ? 1 : usable_cores();
  parallel_for(decoded.size(), threads,
               [&](std::size_t i) { decoded[i] = decode(frames.payloads[i]); });
  std::vector<Catalog::Change> changes;
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    for (std::uint32_t row = 0; row < decoded[i].size(); ++row) {
      const bool is_put = decoded[i][row].operation == Operation::kPut;
      changes.push_back(
          Catalog::prepare(std::move(decoded[i][row]), {frames.offsets[i], row}, sequence));
      if (is_put) ++sequence;
    }
  }
  return changes;
}

}  // namespace

Engine::Engine(const std::string& folder, EngineOptions options)
    : options_(options),
      folder_(folder, !options.read_only, options.codec, options.shared),
      follows_(::access(follows_path(folder).c_str(), F_OK) == 0),
      state_(State{Catalog(), nullptr, 0}) {
  if (options_.damaged && !options_.read_only) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "a damaged store can be read, not written: open it with read_only=True");
  }
  if (auto warning = folder_.take_warning()) warn(*warning);
  if (!options_.read_only) {
    intent_.emplace(folder_.intent_path());
    reserve_.emplace(folder_.reserve_path());
  }
  const FileLock lock = folder_.lock(!options_.read_only);
  const std::lock_guard guard(catch_up_mutex_);
  State state = load();
  if (!options_.read_only) fold_long_tail(state);
  take(state);
  replay_all_locked();
  if (!options_.read_only) {
    recover_intent();
    folder_.sweep_temporary();
    fold_if_due();
  }
}

Engine::~Engine() { close(); }

void Engine::close() {
  closed_ = true;
  stop_ = true;
  if (folding_ == nullptr) return;
  if (process_ != ::getpid()) {
    // A fork of the process that opened the store: the thread is not here, and what it waited on,
    // or held, when the process was copied can be neither used nor destroyed.
    static_cast<void>(folding_.release());
    return;
  }
  std::thread thread;
  {
    const std::lock_guard guard(folding_->mutex);
    folding_->wanted.notify_all();
    thread = std::move(folding_->thread);
  }
  if (thread.joinable()) thread.join();
}

void Engine::require_open() const {
  if (closed_) {
    throw StoreException(ErrorCode::kClosed, "the store in " + folder_.path() + " was closed");
  }
}

void Engine::require_writable() const {
  if (options_.read_only) {
    throw StoreException(ErrorCode::kPermission,
                         "the store in " + folder_.path() + " was opened with read_only=True");
  }
  if (follows_) {
    throw StoreException(ErrorCode::kPermission,
                         folder_.path() +
                             " is a copy that follows another store; change that one, or make "
                             "this one a store of its own: parsl-tl store promote " +
                             folder_.path());
  }
}

void Engine::warn(std::string text) {
  const std::lock_guard guard(warnings_mutex_);
  warnings_.push_back(std::move(text));
}

std::vector<std::string> Engine::take_warnings() {
  const std::lock_guard guard(warnings_mutex_);
  return std::exchange(warnings_, {});
}

Engine::State Engine::load(bool use_snapshot) {
  auto log = std::make_shared<Log>(folder_.log_path(), !options_.read_only);
  std::shared_ptr<const Snapshot> snapshot;
  try {
    if (use_snapshot) snapshot = Snapshot::open(folder_.snapshot_path(), log->generation());
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kCorrupt && error.code() != ErrorCode::kPermission) throw;
    warn(std::string(error.what()) + " (it was passed over)");
  }
  // A log that was put back from a copy: the snapshot is not of its time.
  if (snapshot && !log->has(snapshot->header().stamp)) snapshot = nullptr;
  if (snapshot) log->seek(snapshot->header().stamp);
  const std::uint64_t position = log->position();
  return {Catalog(std::move(snapshot), folder_.membership()), std::move(log), position};
}

void Engine::leave_snapshot(const std::string& why) {
  const std::lock_guard guard(catch_up_mutex_);
  if (state_.read()->catalog.base() == nullptr) return;  // another thread was first
  warn(why + " (it was passed over)");
  if (!options_.read_only) ::unlink(folder_.snapshot_path().c_str());
  State fresh = load(false);
  replay_into(fresh, ~std::size_t{0});
  require_open();  // or it may not have been replayed to its end
  take(fresh);
}

void Engine::take(const State& state) {
  log_ = state.log;
  state_.update([&](State& side) { side = state; });
  recent_pins_.clear();
}

void Engine::fold_long_tail(State& state) {
  for (;;) {
    const std::size_t models = state.catalog.num_models();
    std::size_t most = std::max<std::size_t>(65536, models / 2);
    do {
      replay_into(state, most);
      if (state.catalog.num_changes() < most) return;
      most = state.catalog.num_changes() + 1;
    } while (state.catalog.num_awaited() > 0);  // a snapshot has no place for these
    try {
      write_snapshot(state.catalog, state.log->stamp(), folder_.temporary_path(),
                     folder_.snapshot_path(), stop_);
      State fresh = load();
      if (fresh.position < state.position) return;  // it could not be opened
      state = std::move(fresh);
    } catch (const StoreException& error) {
      // Without a snapshot the state is as right, and takes more memory.
      warn(std::string("no snapshot was made: ") + error.what());
      return;
    }
  }
}

void Engine::replay_into(State& state, std::size_t most_changes) const {
  while (!stop_ && state.catalog.num_changes() < most_changes) {
    const Frames frames = read_frames(*state.log);
    for (const auto& change : read_changes(frames, state.catalog.next_sequence())) {
      state.catalog.apply(change);
    }
    state.position = state.log->position();
    if (frames.payloads.empty() || !frames.whole) return;
  }
}

bool Engine::replay() {
  if (log_->was_replaced()) {
    folder_.require_parts();
    folder_.require_same_store();
    take(load());
  }
  for (;;) {
    const LogStamp before = log_->stamp();
    const Frames frames = read_frames(*log_);
    if (!frames.payloads.empty()) {
      try {
        const auto changes = read_changes(frames, state_.read()->catalog.next_sequence());
        state_.update([&](State& state) {
          for (const Catalog::Change& change : changes) state.catalog.apply(change);
          state.position = log_->position();
        });
        forget(changes);
      } catch (...) {
        log_->seek(before);  // the next call meets the same error, and not half a state
        throw;
      }
    }
    if (!frames.whole) return false;
    if (frames.payloads.empty()) return true;
  }
}

void Engine::replay_all_locked() {
  if (replay()) return;
  const std::string where = folder_.log_path() + ": " +
                            std::to_string(log_->size() - log_->position()) +
                            " bytes of a record that was never acknowledged";
  if (!options_.read_only) {
    log_->cut_torn_tail();
    sweep_due_ = true;  // what else was lost with it, nobody knows
    return warn(where + " were cut off");
  }
  const auto damage = log_->damage_at(log_->position());
  if (damage && !options_.damaged) {
    throw StoreException(ErrorCode::kCorrupt,
                         damage->text(folder_.log_path()) +
                             "; restore the file from a copy, or read what is before the damage "
                             "with read_only=True and damaged=True (--damaged)");
  }
  passed_over_ = log_->size();
  warn(damage ? damage->text(folder_.log_path()) + "; all from there on was passed over"
              : where + " were passed over");
}

void Engine::require_undamaged() {
  // One process in a turn at a time: if nothing was appended since this one's last, nobody but a
  // stranger, or a failing disk's repair, can have touched the file. Looking costs one fstat.
  if (!trace_ || *trace_ == log_->trace()) return;
  if (const auto damage = log_->check(log_->position())) {
    throw StoreException(ErrorCode::kCorrupt,
                         damage->text(folder_.log_path()) +
                             "; somebody else wrote to it. Nothing was stored; restore the file "
                             "from a copy");
  }
}

void Engine::require_space() {
  if (reserve_->restore()) return;
  throw StoreException(ErrorCode::kFull,
                       "the disk of " + folder_.path() +
                           " is full but for what is kept back for retiring models; nothing was "
                           "stored. Free space there or retire models");
}

void Engine::catch_up() {
  std::unique_lock lock(catch_up_mutex_, std::defer_lock);
  while (!lock.try_lock()) {
    if (appending_) return;
    std::this_thread::yield();
  }
  const std::uint64_t before = log_->position();
  const bool whole = replay();
  if (log_->position() != before) trace_.reset();
  if (whole || (options_.read_only && log_->size() == passed_over_)) return;
  // Bytes that are no frame belong to a writer at work or to one that died: the lock tells.
  const auto file_lock = FileLock::try_lock(folder_.lock_path(), !options_.read_only);
  if (file_lock) replay_all_locked();
}

Engine::View Engine::refreshed() {
  {
    View state = state_.read();
    require_open();
    if (state->log->is_current(state->position)) return state;
  }
  // The writer has replayed all that others have acknowledged before it said so.
  if (!appending_) catch_up();
  fold_if_due();
  return state_.read();
}

void Engine::recover_intent() {
  if (std::exchange(sweep_due_, false)) {
    const View state = state_.read();
    folder_.sweep_segments(
        [&](std::uint64_t owner) { return state->catalog.segment_bytes(owner) > 0; });
  }
  const auto pending = intent_->pending();
  if (pending.empty()) return;
  {
    const View state = state_.read();
    for (const std::uint64_t owner : pending) {
      if (state->catalog.segment_bytes(owner) == 0) ::unlink(folder_.segment_path(owner).c_str());
    }
  }
  intent_->clear();
}

Engine::Turn::Turn(Engine& engine)
    : engine_(engine),
      writer_(engine.writer_mutex_),
      file_lock_(engine.folder_.lock(true)),
      catch_up_(engine.catch_up_mutex_) {
  engine_.require_open();
  const LogStamp before = engine_.log_->stamp();
  engine_.replay_all_locked();
  const LogStamp& now = engine_.log_->stamp();
  // Others wrote: the file's times tell nothing.
  if (before.generation != now.generation || before.position != now.position)
    engine_.trace_.reset();
  engine_.require_undamaged();
  engine_.recover_intent();
  engine_.appending_ = true;
}

Engine::Turn::~Turn() {
  engine_.appending_ = false;
  try {
    engine_.trace_ = engine_.log_->trace();
  } catch (const StoreException&) {
    engine_.trace_.reset();  // then the next turn has nothing to compare with
  }
}

}  // namespace parsl_tl
