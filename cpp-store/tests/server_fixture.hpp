// A server over a folder of its own, with models that tests know.
#pragma once

#include <memory>

#include "layer_name.hpp"
#include "put_message.hpp"
#include "raw_client.hpp"
#include "sample_models.hpp"

namespace parsl_tl::testing {

inline PutMessage message_of(const PutRequest& request) {
  return parsl_tl::message_of(request, in_order_of_layers(request));
}

inline ConstPieces upload_of(const PutRequest& request) {
  ConstPieces pieces;
  for (const TensorArgument* tensor : in_order_of_layers(request)) pieces.push_back(tensor->bytes);
  return pieces;
}

inline std::uint64_t sample_key(std::uint64_t layer) { return layer_key(sample_hash(layer, 0), 0); }

struct ServerFixture {
  explicit ServerFixture(ServerOptions options = {})
      : engine(std::make_shared<Engine>(scratch / "store", EngineOptions{})),
        server(engine, std::move(options)) {}

  /// A model with layers 0 to 2, each with tensors of its own.
  static std::unique_ptr<SampleModel> model(std::uint64_t id) {
    auto made = std::make_unique<SampleModel>(id, 0.5);
    for (const std::uint64_t layer : {0, 1, 2}) made->add(sample_hash(layer, 0), true);
    return made;
  }
  void store(std::uint64_t id) { engine->put(model(id)->request); }

  Scratch scratch;
  std::shared_ptr<Engine> engine;
  Server server;
};

inline PutReply put(RawClient& client, const PutRequest& request) {
  const ConstPieces upload = upload_of(request);
  MemoryExchange exchange(upload, 0, request.model_id);
  return client.ask(message_of(request), exchange, size_of(upload));
}

/// Reads a layer, and checks its bytes.
inline bool is_readable(RawClient& client, std::uint64_t model_id, std::uint64_t layer) {
  const std::uint64_t key = sample_key(layer);
  const std::uint64_t bytes = sample_bytes(model_id, key);
  MemoryExchange exchange({}, bytes, 1);
  client.ask(ReadLayersRequest{model_id, {key}}, exchange, bytes);
  Bytes expected, found;
  for (const Bytes& tensor : sample_tensors(model_id, key)) {
    expected.insert(expected.end(), tensor.begin(), tensor.end());
  }
  for (const auto& piece : exchange.sent()) found.insert(found.end(), piece.begin(), piece.end());
  return found == expected;
}

}  // namespace parsl_tl::testing
