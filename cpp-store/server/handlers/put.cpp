#include <algorithm>

#include "byte_source.hpp"
#include "copied_layers.hpp"
#include "following.hpp"
#include "handlers.hpp"

namespace parsl_tl {
namespace {

// Each takes some hundred bytes of memory, and few of a message.
constexpr std::size_t kMostTensors = 1 << 20;

/// The upload as the engine takes it in.
class UploadSource final : public ByteSource {
 public:
  explicit UploadSource(CallContext& call) : call_(call) {}
  std::span<const std::uint8_t> take() override {
    const auto bytes = call_.exchange.take();
    call_.server.count_received(bytes.size());
    return bytes;
  }

 private:
  CallContext& call_;
};

void refuse_if(bool wrong, const std::string& why) {
  if (wrong) throw StoreException(ErrorCode::kInvalidValue, why);
}

void add_tensors(const PutMessage& from, std::uint64_t bulk_bytes, PutRequest& to) {
  const std::size_t tensors = from.tensor_layers.size();
  refuse_if(tensors > kMostTensors, "a model of " + std::to_string(tensors) + " tensors; at most " +
                                        std::to_string(kMostTensors) + " can be sent");
  refuse_if(from.tensor_dtypes.size() != tensors || from.tensor_shapes.size() != tensors ||
                from.tensor_sizes.size() != tensors,
            "each tensor has a layer, a dtype, a shape and a size");
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tensors; ++i) {
    refuse_if(__builtin_add_overflow(bytes, from.tensor_sizes[i], &bytes), "tensors without end");
    to.tensors.push_back({from.tensor_layers[i],
                          from.tensor_dtypes[i],
                          from.tensor_shapes[i],
                          {},
                          from.tensor_sizes[i]});
  }
  refuse_if(bytes != bulk_bytes, std::to_string(bytes) + " bytes of tensors are announced, and " +
                                     std::to_string(bulk_bytes) + " sent");
}

void add_inherited(const PutMessage& from, PutRequest& to) {
  if (!from.names_inherited) return;
  const std::size_t layers = from.inherited_layers.size();
  refuse_if(layers > from.layer_keys.size(), "more layers are inherited than there are");
  refuse_if(from.inherited_owners.size() != layers || from.inherited_bytes.size() != layers,
            "each inherited layer has an owner and a size");
  to.inherited.emplace();
  for (std::size_t i = 0; i < layers; ++i) {
    to.inherited->push_back(
        {from.inherited_layers[i], from.inherited_owners[i], from.inherited_bytes[i]});
  }
}

/// Layers on other servers are held for the attempt as long as it is not over; see attempts.hpp.
std::unique_ptr<AttemptAtWork> start_attempt(CallContext& call, const PutMessage& from) {
  if (from.attempt == 0) {
    const Membership here = call.engine.membership();
    const bool borrows = std::any_of(from.inherited_owners.begin(), from.inherited_owners.end(),
                                     [&](std::uint64_t owner) { return !here.is_home_of(owner); });
    refuse_if(borrows, "layers of another server are inherited, and not held there");
    return nullptr;
  }
  if (call.engine.was_used(from.model_id)) {
    throw StoreException(ErrorCode::kExists, "model id " + hex_id(from.model_id) +
                                                 " was used before; ids are never reused");
  }
  return std::make_unique<AttemptAtWork>(call.server.attempts(), from.model_id, from.attempt);
}

/// As far as is known here: the other site may have stored it just now.
void refuse_followed(CallContext& call, std::uint64_t model_id) {
  const auto store = followed_store_of(call, model_id);
  if (store == nullptr) return;
  throw StoreException(ErrorCode::kExists, "model id " + hex_id(model_id) +
                                               " was used before, in the store at " +
                                               store->name() + "; ids are never reused");
}

/// The donor, or parent, of the model, if it lives in a store that the server follows.
std::shared_ptr<PinnedModel> followed_donor(CallContext& call, const PutMessage& from) {
  const auto id = from.donor ? from.donor : from.parent;
  if (!id || from.names_inherited) return nullptr;
  // What the client has open stays, even if it was retired.
  if (from.donor && !call.engine.was_used(*id)) {
    if (auto pinned = call.client.find(*id, 0)) return pinned;
  }
  const auto store = followed_store_of(call, *id);
  if (store == nullptr) return nullptr;
  try {
    return store->pin(*id);
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kNotFound && error.code() != ErrorCode::kIo) throw;
    throw StoreException(ErrorCode::kDonorGone, "model " + hex_id(from.model_id) +
                                                    " cannot inherit from " + hex_id(*id) + ": " +
                                                    error.what() + "; store all of its weights");
  }
}

void refuse_beyond_memory(CallContext& call) {
  const ServerOptions& options = call.server.options();
  if (!options.keeps_in_memory || options.memory_limit == 0) return;
  const std::uint64_t used = call.engine.bytes_segments();
  if (used + call.server.clients().bytes_in_flight() <= options.memory_limit) return;
  if (used + call.bulk_bytes <= options.memory_limit) {
    throw StoreException(
        ErrorCode::kBusy,
        "what is on its way to or from the server leaves no room; try again later");
  }
  throw StoreException(ErrorCode::kFull,
                       "the server keeps models in memory, at most " +
                           std::to_string(options.memory_limit) + " bytes, of which " +
                           std::to_string(used) +
                           " are in use; retire models, or raise its --memory-limit");
}

}  // namespace

PutReply handle(CallContext& call, const PutMessage& from) {
  call.server.refuse_many_layers(from.layer_keys.size());
  refuse_beyond_memory(call);
  PutRequest request;
  request.model_id = from.model_id;
  request.quality = from.quality;
  request.parent = from.parent;
  request.donor = from.donor;
  request.fingerprint = from.fingerprint;
  request.layer_keys = from.layer_keys;
  request.layer_names = from.layer_names;
  request.edges = from.edges;
  request.architecture = from.architecture;
  request.attributes = from.attributes;
  add_tensors(from, call.bulk_bytes, request);
  add_inherited(from, request);
  refuse_followed(call, from.model_id);
  UploadSource source(call);
  request.source = &source;
  std::optional<CopiedLayers> copied;
  if (const auto donor = followed_donor(call, from)) {
    copied.emplace(donor, source);
    copied->add_to(request);
  }
  if (from.is_whole) request.weighted = {from.weighted, from.maybe_weighted};
  request.parent_is_gone = from.parent_is_gone;
  const auto attempt = start_attempt(call, from);
  if (attempt) request.may_commit = [&] { attempt->commit(); };
  const PutResult result = call.engine.put(request);
  return {result.bytes_stored, result.layers_stored, result.layers_inherited};
}

}  // namespace parsl_tl
