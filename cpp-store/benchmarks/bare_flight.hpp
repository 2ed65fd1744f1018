// Arrow Flight as one would write it for a benchmark: no handler, no checks, nothing of our own.
// What the transport costs beyond this is what it does beyond this. The walk over graphs is served
// too.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "graph_walk.hpp"
#include "transport.hpp"

namespace parsl_tl {

/// Answers actions with a few bytes, throws puts away, and serves gets from memory.
class BareServer {
 public:
  /// At an address such as grpc+tcp://127.0.0.1:0; batches of a get have so many bytes.
  explicit BareServer(const std::string& address, std::size_t part_bytes = kPartBytes);
  ~BareServer();

  std::string address() const;
  void stop();

 private:
  class Server;
  std::unique_ptr<Server> server_;
};

/// Each call returns the seconds that it took.
class BareClient {
 public:
  explicit BareClient(const std::string& address, std::size_t part_bytes = kPartBytes);
  ~BareClient();

  double rpc();
  double put(std::span<const std::uint8_t> bytes);
  /// The batches are received, counted and let go.
  double get(std::uint64_t num_bytes);
  /// The batches are copied to where the caller wants them.
  double get_into(std::span<std::uint8_t> out);
  /// Stores a graph, and finds the one with the longest common prefix: see graph_walk.hpp.
  void add_graph(std::uint64_t model_id, double quality, const WalkInput& graph);
  std::optional<WalkMatch> walk(const WalkInput& graph);

 private:
  class Client;
  std::unique_ptr<Client> client_;
};

}  // namespace parsl_tl
