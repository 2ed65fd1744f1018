// The store's engine: models, weights and lineage in a folder that many processes share.
//
// A process maps the folder's snapshot, replays what the log holds behind it, and before every call
// what others appended since (one fstat when there is nothing). Writers take the folder's exclusive
// lock only to append; tensors are written before that, beside each other. All calls are
// thread-safe. Reading calls wait neither for each other nor for a writer at work: what they may
// have to do is to take in what other processes have stored.
#pragma once

#include <arrow/type_fwd.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "catalog.hpp"
#include "errors.hpp"
#include "folder.hpp"
#include "intent.hpp"
#include "left_right.hpp"
#include "log.hpp"
#include "lru_cache.hpp"
#include "put_request.hpp"
#include "reserve.hpp"
#include "segment.hpp"
#include "weak_cache.hpp"

namespace parsl_tl {

struct FlatModels;

struct EngineOptions {
  bool read_only = false;
  bool sync = false;           // wait for the disk before acknowledging
  bool checksums = true;       // of tensors: written and, at the first read, verified
  std::optional<Codec> codec;  // of a new store; of an old one only the one it was made with
  bool shared = false;         // with the folder's group; of an old store only if it is
  bool damaged = false;        // read a damaged log up to the damage; only with read_only
};

struct PutResult {
  std::uint64_t bytes_stored = 0;
  std::uint64_t layers_stored = 0;
  std::uint64_t layers_inherited = 0;
};

/// A process keeps open what it read last: few enough that what retired models leave in one that
/// sleeps is little.
constexpr std::size_t kRecentModels = 64;

/// A model's layers with their mapped tensors. While it lives, nothing in it can vanish, even if
/// the model is retired and its files are removed.
struct PinnedModel {
  struct Layer {
    std::string name;
    std::uint64_t key = 0;
    std::uint64_t owner = 0;
    std::uint64_t bytes = 0;
    bool is_elsewhere = false;         // its tensors are on another server
    std::shared_ptr<Segment> segment;  // null without tensors here
    Segment::Range tensors;            // in the segment's directory

    bool has_weights() const noexcept { return segment != nullptr || is_elsewhere; }
    /// Those of its tensors that are here.
    std::span<const TensorInfo> tensor_infos() const {
      return segment == nullptr ? std::span<const TensorInfo>() : segment->tensors(tensors);
    }
  };
  std::uint64_t id = 0;
  std::int64_t created_ns = 0;
  double quality = 0.0;
  std::vector<Layer> layers;
};

/// What becomes of a kNotFound when the model is living nevertheless: kCorrupt, with the remedy.
StoreException missing_segment(std::uint64_t model_id, const StoreException& why);

struct VerifyReport {
  std::uint64_t models = 0;
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> problems;
};

struct CompactReport {
  std::uint64_t segments_rewritten = 0;
  std::uint64_t bytes_freed = 0;
};

class Engine {
 public:
  Engine(const std::string& folder, EngineOptions options);
  ~Engine();

  /// What a request's source throws goes through; then, too, nothing was stored.
  PutResult put(const PutRequest& request);
  /// Models without tensors, thousands at once. They are stored in groups; should one fail, the
  /// groups before it stay, and the error says how many models that were.
  void put_many(const std::vector<PutRequest>& requests);
  void put_architectures(const FlatModels& models);
  std::uint64_t retire(std::uint64_t id);  // bytes freed

  // identity.cpp: who this folder is, and part of which store. That may change as long as nothing
  // was stored.
  const StoreId& store() const noexcept { return folder_.id(); }
  Membership membership() const { return folder_.membership(); }
  /// The servers of the store, in their order.
  std::shared_ptr<const StoreIds> stores() const { return folder_.stores(); }
  /// This folder becomes the `index`-th of these. Throws kInvalidValue if models are stored in
  /// another place, kWrongStore if they are stored beside other servers, or this one is not meant.
  void join(const StoreIds& stores, std::uint32_t index);
  /// What is lost with servers that are not part of the store any more.
  struct Adoption {
    std::vector<std::uint64_t> models;  // that lack layers
    std::vector<std::uint64_t> holds;   // of models that are gone
  };
  /// As join, whatever is stored: retires what is lost, and lets go of it. A place that this folder
  /// has, and how many servers there are, cannot change with models stored.
  Adoption adopt(const StoreIds& stores, std::uint32_t index, bool only_look);

  // holds.cpp: what models of other servers need of this one, and the other way round.
  struct HoldResult {
    bool taken = false;
    std::uint64_t attempt = 0;  // whose hold it is
  };
  /// Keeps layers from being freed for a model of another server. Repeating it changes nothing. Not
  /// taken if another attempt holds layers for the model, and it is not the one to be replaced.
  /// Throws kDonorGone if one of the layers is not there any more.
  HoldResult hold(const HoldRequest& request);
  /// Lets go of what an attempt (0: any) to store a model of another server holds, if it does, on
  /// the word of that server. Returns the bytes freed.
  std::uint64_t release(std::uint64_t model_id, std::uint64_t attempt, const StoreId& home);
  struct Hold {
    std::uint64_t model_id = 0;
    std::uint64_t attempt = 0;
    StoreId home;
    LayerSum layers;
  };
  std::vector<Hold> holds();
  struct Borrowed {
    std::uint64_t model_id = 0;
    std::uint32_t place = 0;  // of the server that the layers' owners live on
    LayerSum layers;
  };
  std::vector<Borrowed> borrowed();
  /// What a living model borrows of the server in a place; nothing if there is no such model.
  std::optional<LayerSum> borrowed_by(std::uint64_t model_id, std::uint32_t place);

  // following.cpp: what it takes for another store to follow this one, and for this one to be such
  // a copy.
  LogState log_state(const LogStamp& known);
  /// Bytes of the log of this generation. Throws kStale if it was written anew meanwhile.
  std::vector<std::uint8_t> read_log(std::uint64_t generation, std::uint64_t position,
                                     std::uint64_t size);
  /// Where what this store has of the log ends.
  LogStamp log_end();
  std::string format_text() const;
  static std::string follows_path(const std::string& folder) { return folder + "/follows"; }
  /// Makes a folder that copies a store: what its FORMAT says, the beginning of its log, and, for
  /// people, where it is.
  static void make_copy(const std::string& path, const std::string& format,
                        std::span<const std::uint8_t> log, const std::string& source);
  /// Whether this folder was opened as a copy: nothing but what follows changes it.
  bool follows() const noexcept { return follows_; }
  /// Takes in whole frames of the other's log that stand behind the stamp. False if the copy does
  /// not end there: another process copies, too. Throws kCorrupt, and takes in nothing, if they do
  /// not go with what is here; kPermission if the copy was promoted.
  bool append_frames(const LogStamp& behind, std::span<const std::uint8_t> frames);
  /// The file is the log from now on: the other's was written anew.
  void replace_log(const std::string& path);
  /// Bytes of the segment of each owner of layers in use.
  std::map<std::uint64_t, std::uint64_t> segments();
  std::uint64_t segment_bytes(std::uint64_t owner);
  /// Throws kNotFound if it is not here.
  std::shared_ptr<Segment> open_segment(std::uint64_t owner);
  /// Gives up the copy of a segment; it may come again.
  void drop_segment(std::uint64_t owner);
  std::string segment_file(std::uint64_t owner) const { return folder_.segment_path(owner); }
  std::string temporary_path() const { return folder_.temporary_path(); }
  /// Models of which segments are not here.
  std::vector<std::uint64_t> models_lacking_segments();
  /// The copy is a store of its own from now on, for whoever opens it next.
  void stop_following();

  std::shared_ptr<PinnedModel> find_donor(const Query& query);
  /// The donor for each query, found on this many threads.
  std::vector<Donor> find_donors(const std::vector<Query>& queries, unsigned threads);
  /// Improves donors of other stores, one for each query: what cannot win is not looked at.
  void improve_donors(const std::vector<Query>& queries, std::span<Donor> donors, unsigned threads);
  /// The model with its tensors mapped; also a retired one that somebody still holds pinned.
  std::shared_ptr<PinnedModel> pin(std::uint64_t id);

  Model model(std::uint64_t id);
  std::optional<std::int64_t> created_ns(std::uint64_t id);
  Record record(std::uint64_t id);  // edges and architecture, read from the log
  std::string architecture(std::uint64_t id) { return record(id).architecture; }
  std::vector<std::uint64_t> ancestors(std::uint64_t id);
  std::vector<std::uint64_t> descendants(std::uint64_t id);
  std::vector<LineageLink> links_below(std::span<const std::uint64_t> ids);
  bool was_used(std::uint64_t id);
  /// Whether no model was ever stored.
  bool is_empty();
  std::uint64_t reference_count(std::uint64_t owner, std::uint64_t key);
  bool contains(std::uint64_t id);
  std::uint64_t num_models();
  std::uint64_t bytes_live();
  std::uint64_t bytes_segments();
  std::shared_ptr<arrow::RecordBatch> models();
  std::map<std::string, std::uint64_t> stats();
  VerifyReport verify();

  /// Writes segments anew without the layers that nobody holds any more, then the log without what
  /// nobody needs of it. Others go on reading and writing meanwhile.
  CompactReport compact();
  /// Folds what came since the last snapshot into a new one, now rather than in the background.
  void fold();
  /// The same in the background, if enough has come.
  void fold_if_due();

  const std::string& folder() const noexcept { return folder_.path(); }
  Codec codec() const noexcept { return folder_.codec(); }
  /// What was repaired at opening or while running, since the last call.
  std::vector<std::string> take_warnings();
  void close();

 private:
  /// What a reader sees.
  struct State {
    Catalog catalog;
    std::shared_ptr<Log> log;
    std::uint64_t position = 0;  // of the log, up to which the catalog goes
  };
  using View = LeftRight<State>::Reader;

  /// A writer's turn: alone in this process and among processes, with everything replayed.
  class Turn {
   public:
    explicit Turn(Engine& engine);
    ~Turn();

   private:
    Engine& engine_;
    std::lock_guard<std::mutex> writer_;
    FileLock file_lock_;
    std::unique_lock<std::mutex> catch_up_;
  };

  View refreshed();
  void require_open() const;
  void require_writable() const;
  void require_follows() const;
  bool rewrites_log() const noexcept { return !options_.read_only && !follows_; }
  void warn(std::string text);

  State load(bool use_snapshot = true);
  /// All that is in the files, beside the state in use.
  State load_all();
  /// Goes on without a snapshot that turned out to be damaged.
  void leave_snapshot(const std::string& why);
  /// What the catalog answers.
  template <typename Question>
  auto ask(Question question);
  /// With catch_up_mutex_: readers see this state from now on.
  void take(const State& state);
  void catch_up();
  bool replay();             // with catch_up_mutex_; false if bytes are left that are no frame
  void replay_all_locked();  // with the file lock as well: what is left is a torn tail, or damage
  /// Throws kCorrupt if somebody else wrote to the log and damaged what was replayed before.
  void require_undamaged();
  void require_space();
  /// Does what frees space in the end; takes from the reserve what it needs on a full disk.
  template <typename Work>
  auto with_reserve(Work work);
  /// Does what needs the store's files, and tells if those were removed.
  template <typename Work>
  auto in_folder(Work work);
  void recover_intent();
  /// Replays what no snapshot holds; snapshots that are made on the way bound its memory.
  void fold_long_tail(State& state);
  void replay_into(State& state, std::size_t most_changes) const;
  enum class Need { kSpace, kFreesSpace };
  RetireResult append(std::vector<Record> records, Need need = Need::kSpace);  // in a turn
  void put_group(std::span<const PutRequest> requests);

  void require_home_of(std::uint64_t id) const;
  void note_owner_stores(Record& record) const;
  std::vector<std::uint32_t> layers_in_need(const PutRequest& request);
  void require_weights(const PutRequest& request, const Record& record,
                       std::span<const std::uint32_t> in_need) const;
  void validate(const PutRequest& request) const;
  void inherit_layers(const PutRequest& request, Record& record, PutResult& result) const;
  void inherit_named(const PutRequest& request, Record& record, PutResult& result) const;
  /// A hold only if it is the attempt's; 0 stands for any.
  std::uint64_t retire_holder(std::uint64_t id, std::uint64_t attempt = 0);
  static bool is_hold_of(const Model& hold, std::uint64_t attempt);
  void require_home_is(std::uint64_t model_id, const StoreId& home) const;
  std::shared_ptr<PinnedModel> pin_living(const Model& model);
  std::shared_ptr<PinnedModel> find_pinned(const Catalog& catalog, std::uint64_t id);
  /// The model as it stays in use: another thread may have pinned it first.
  std::shared_ptr<PinnedModel> keep_pinned(std::shared_ptr<PinnedModel> pinned);
  /// Lets go of what these changes made vanish.
  void forget(std::span<const Catalog::Change> changes);
  std::shared_ptr<Segment> segment(std::uint64_t owner);

  static constexpr std::uint64_t kLeastRewritten = 16 << 20;
  class ShrunkGroup;
  void shrink_segments(CompactReport& report);
  void check_log(VerifyReport& report);
  void check_snapshot(VerifyReport& report);
  void rewrite_if_due();
  /// With the snapshot's lock: nobody else writes the log anew. Returns bytes freed.
  std::uint64_t rewrite_log_locked();
  std::uint64_t rewrite_log_locked(const State& state);
  void snapshot_rewritten();
  std::size_t due_changes(std::size_t models) const;
  bool fold_is_due(std::size_t models) const;
  void fold_long_delta();  // in no turn: who writes faster than it is folded waits here
  void run_folds();
  void fold_locked(std::size_t least_changes);  // with the snapshot's lock
  void adopt();

  EngineOptions options_;
  Folder folder_;
  const bool follows_;
  std::optional<Intent> intent_;
  std::optional<Reserve> reserve_;
  LeftRight<State> state_;
  std::atomic<bool> closed_ = false;
  std::atomic<bool> stop_ = false;

  std::mutex writer_mutex_;    // one writer of this process at a time
  std::mutex catch_up_mutex_;  // guards the next two and the writing side of state_
  std::shared_ptr<Log> log_;
  bool sweep_due_ = false;         // a torn tail was cut off
  std::uint64_t passed_over_ = 0;  // the log's size when a reader looked at what is no record
  // What this process' last turn left; nothing if another process wrote since.
  std::optional<Log::Trace> trace_;
  // The log's size from which on it is looked whether most of it is of no use any more.
  std::atomic<std::uint64_t> rewrite_look_ = kLeastRewritten;
  // True while a writer of this process appends: it has replayed everything, and nobody else can
  // append, so that what readers see is complete.
  std::atomic<bool> appending_ = false;
  std::atomic<int> bulk_writers_ = 0;

  WeakCache<Segment> segments_;
  WeakCache<PinnedModel> pins_;
  // Who reads a model again finds its segments mapped and verified. Only of uncompressed stores,
  // where that takes no memory.
  LruCache<PinnedModel> recent_pins_{kRecentModels};

  std::mutex warnings_mutex_;  // guards the next
  std::vector<std::string> warnings_;

  /// The thread that makes snapshots, started when the first one is due.
  struct Folding {
    std::mutex mutex;  // guards the next three
    std::condition_variable wanted;
    bool due = false;
    std::thread thread;
  };
  std::unique_ptr<Folding> folding_ = std::make_unique<Folding>();
  const ::pid_t process_ = ::getpid();
};

template <typename Work>
auto Engine::with_reserve(Work work) {
  constexpr std::uint64_t kAtOnce = 64 << 10;
  for (;;) {
    try {
      return work();
    } catch (const StoreException& error) {
      if (error.code() != ErrorCode::kFull || !reserve_->release(kAtOnce)) throw;
    }
  }
}

template <typename Work>
auto Engine::in_folder(Work work) {
  try {
    return work();
  } catch (const StoreException& error) {
    if (error.code() == ErrorCode::kNotFound) folder_.require_parts();
    throw;
  } catch (const std::filesystem::filesystem_error& error) {
    folder_.require_parts();
    throw_errno(error.code().value(), "cannot use", folder_.path());
  }
}

}  // namespace parsl_tl
