// What a put is asked to store, whether that can be stored, and in which order.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "byte_source.hpp"
#include "record.hpp"
#include "segment.hpp"
#include "store_id.hpp"

namespace parsl_tl {

struct TensorArgument {
  std::uint32_t layer = 0;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::span<const std::uint8_t> bytes;
  std::uint64_t announced = 0;  // with a source: how many bytes of it are this tensor's
  std::uint64_t size() const noexcept { return bytes.size() + announced; }
};

/// A layer whose tensors another model owns.
struct InheritedLayer {
  std::uint32_t layer = 0;
  std::uint64_t owner = 0;
  std::uint64_t bytes = 0;  // of its tensors; what is known of an owner in this folder counts more
};

struct PutRequest {
  std::uint64_t model_id = 0;
  double quality = 0.0;
  std::optional<std::uint64_t> parent;
  std::optional<std::uint64_t> donor;
  std::uint64_t fingerprint = 0;  // of the data that the model was trained on, 0 for none
  std::vector<std::uint64_t> layer_keys;
  std::vector<std::string> layer_names;
  std::vector<std::uint32_t> edges;
  std::string architecture;
  std::string attributes;
  std::vector<TensorArgument> tensors;
  /// Where the tensors' bytes come from, if they are not in memory: one tensor after another, in
  /// the order of the layers, without anything between them.
  ByteSource* source = nullptr;
  /// Which layers the model shares with their owners, where the caller knows (a model of a store of
  /// several servers: the owners here must have these layers, the others are trusted to be held).
  /// Nothing: those of the donor, or of the parent.
  std::optional<std::vector<InheritedLayer>> inherited;
  /// Of a model that is to be whole: layers that have weights for certain, and such as may have
  /// some, which others of these layers tell. Nothing: what is given is taken as it is.
  struct Weighted {
    std::vector<std::uint32_t> certain;
    std::vector<std::uint32_t> possible;
  };
  std::optional<Weighted> weighted;
  bool parent_is_gone = false;  // where the caller knows: a parent on another server
  /// Called last, when nothing but the record is left to be written; what it throws ends the put.
  std::function<void()> may_commit;
};

/// What a model of another server holds of the models of this folder.
struct HoldRequest {
  std::uint64_t model_id = 0;
  std::vector<std::uint64_t> layer_keys;
  std::vector<std::string> layer_names;
  std::vector<std::uint64_t> owners;  // one for each layer
  std::uint64_t attempt = 0;          // to store the model: each has another number
  StoreId home;                       // where the model is to be stored
  /// The attempt whose hold this one takes the place of: one that came to nothing, as the home
  /// says.
  std::uint64_t replaces = 0;
};

/// A sum over layers and their owners, in which order whatever.
struct LayerSum {
  std::uint64_t count = 0;
  std::uint64_t sum = 0;
  void add(std::uint64_t key, std::uint64_t owner);
  bool operator==(const LayerSum&) const = default;
};

/// Throws kInvalidValue for a request that no store can fulfil.
void validate(const PutRequest& request);
void validate(const HoldRequest& request);

/// The request as the log holds it, before layers are inherited.
Record make_record(const PutRequest& request, std::int64_t created_ns);

/// The tensors in memory, those of a layer together.
std::vector<TensorView> tensors_by_layer(const PutRequest& request);

/// What is known of the tensors of a source before they come.
std::vector<TensorInfo> announced_tensors(const PutRequest& request);

}  // namespace parsl_tl
