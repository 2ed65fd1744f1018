// The store's engine: models, weights and lineage in a folder that many processes share.
//
// Each process replays the log into its own catalog and, before every call, what others appended
// since (one fstat when there is nothing). Writers take the folder's exclusive lock only for the
// append; tensors are written before that, beside each other. All calls are thread-safe.
#pragma once

#include <arrow/type_fwd.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "catalog.hpp"
#include "folder.hpp"
#include "log.hpp"
#include "segment.hpp"

namespace parsl_tl {

struct EngineOptions {
  bool read_only = false;
  bool sync = false;  // wait for the disk before acknowledging
};

struct PutRequest {
  std::uint64_t model_id = 0;
  double quality = 0.0;
  std::optional<std::uint64_t> parent;
  std::optional<std::uint64_t> donor;
  std::vector<std::uint64_t> layer_keys;
  std::vector<std::string> layer_names;
  std::vector<std::uint32_t> edges;
  std::string architecture;
  std::string attributes;
  std::vector<TensorView> tensors;
};

struct PutResult {
  std::uint64_t bytes_stored = 0;
  std::uint64_t layers_stored = 0;
  std::uint64_t layers_inherited = 0;
};

/// A model's layers with their mapped tensors. While it lives, nothing in it can vanish, even if
/// the model is retired and its files are removed.
struct PinnedModel {
  struct Layer {
    std::string name;
    std::uint64_t key = 0;
    std::uint64_t owner = 0;
    std::uint64_t bytes = 0;
    std::vector<TensorRecord> tensors;
    std::shared_ptr<Segment> segment;
  };
  std::uint64_t id = 0;
  double quality = 0.0;
  std::vector<Layer> layers;
};

struct VerifyReport {
  std::uint64_t models = 0;
  std::uint64_t tensors = 0;
  std::uint64_t bytes = 0;
  std::vector<std::string> problems;
};

class Engine {
 public:
  Engine(const std::string& folder, EngineOptions options);

  PutResult put(const PutRequest& request);
  std::uint64_t retire(std::uint64_t id);  // bytes freed

  std::shared_ptr<PinnedModel> best_ancestor(const std::vector<std::uint64_t>& keys,
                                             const QueryOptions& options);
  /// The model with its tensors mapped; also a retired one that somebody still holds pinned.
  std::shared_ptr<PinnedModel> pin(std::uint64_t id);

  Model model(std::uint64_t id);
  Record record(std::uint64_t id);  // edges and architecture, read from the log
  std::vector<std::uint64_t> ancestors(std::uint64_t id);
  std::vector<std::uint64_t> descendants(std::uint64_t id);
  std::uint64_t reference_count(std::uint64_t owner, std::uint64_t key);
  bool contains(std::uint64_t id);
  std::shared_ptr<arrow::RecordBatch> models();
  std::map<std::string, std::uint64_t> stats();
  VerifyReport verify();

  const std::string& folder() const noexcept { return folder_.path(); }
  /// What was repaired at opening or while running, since the last call.
  std::vector<std::string> take_warnings();
  void close();

 private:
  using ReadLock = std::shared_lock<std::shared_mutex>;
  using WriteLock = std::unique_lock<std::shared_mutex>;

  ReadLock refreshed();        // catalog up to date, shared lock held
  void require_open() const;
  void require_writable() const;
  bool replay();               // with state_mutex_ held; false if bytes are left that are no frame
  void replay_all_locked();    // with the file lock held as well: what is left is a torn tail
  std::vector<std::uint64_t> apply(const arrow::Buffer& payload, std::uint64_t offset);
  void inherit_layers(const PutRequest& request, Record& record, PutResult& result) const;
  std::shared_ptr<PinnedModel> pin_living(const Model& model);
  std::shared_ptr<Segment> segment(std::uint64_t owner);

  EngineOptions options_;
  Folder folder_;
  std::shared_mutex state_mutex_;  // guards everything below
  Log log_;
  Catalog catalog_;
  bool closed_ = false;
  std::mutex cache_mutex_;  // guards the three below; taken after state_mutex_
  std::unordered_map<std::uint64_t, std::weak_ptr<Segment>> segments_;
  std::unordered_map<std::uint64_t, std::weak_ptr<PinnedModel>> pins_;
  std::vector<std::string> warnings_;
};

}  // namespace parsl_tl
