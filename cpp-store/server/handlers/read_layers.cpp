#include <unordered_map>

#include "following.hpp"
#include "handlers.hpp"
#include "reading.hpp"

namespace parsl_tl {
namespace {

std::vector<std::size_t> places_of(const PinnedModel& pinned,
                                   const std::vector<std::uint64_t>& keys) {
  std::unordered_map<std::uint64_t, std::size_t> known;
  for (std::size_t i = 0; i < pinned.layers.size(); ++i) known[pinned.layers[i].key] = i;
  std::vector<std::size_t> places;
  for (const std::uint64_t key : keys) {
    const auto found = known.find(key);
    if (found == known.end()) {
      throw StoreException(ErrorCode::kInvalidValue,
                           "model " + hex_id(pinned.id) + " has no layer " + hex_id(key));
    }
    places.push_back(found->second);
  }
  return places;
}

std::uint64_t bytes_of(const PinnedModel& pinned, const std::vector<std::size_t>& places) {
  std::uint64_t bytes = 0;
  for (const std::size_t place : places) {
    for (const TensorInfo& tensor : pinned.layers[place].tensor_infos()) bytes += tensor.size;
  }
  return bytes;
}

}  // namespace

ReadLayersReply handle(CallContext& call, const ReadLayersRequest& request) {
  auto pinned = call.client.find(request.model_id, request.created_ns);
  if (pinned == nullptr) {
    const auto store = followed_store_of(call, request.model_id);
    pinned = store ? store->pin(request.model_id) : call.pin(request.model_id);
    if (request.created_ns != 0 && pinned->created_ns != request.created_ns) {
      throw StoreException(ErrorCode::kNotFound,
                           "model " + hex_id(request.model_id) +
                               " is another one now: the store went back to a copy of it");
    }
  }
  const auto places = places_of(*pinned, request.layer_keys);
  const std::uint64_t bytes = bytes_of(*pinned, places);
  // Before any of them is verified, or uncompressed.
  if (bytes != call.bulk_bytes) {
    throw StoreException(ErrorCode::kInvalidValue, "the layers take " + std::to_string(bytes) +
                                                       " bytes, room was made for " +
                                                       std::to_string(call.bulk_bytes));
  }
  ConstPieces pieces;
  for (const LayerBytes& layer : view_layers(*pinned, places)) {
    pieces.insert(pieces.end(), layer.begin(), layer.end());
  }
  call.exchange.send(pieces, pinned);
  call.server.count_sent(bytes);
  return {};
}

}  // namespace parsl_tl
