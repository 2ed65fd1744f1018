// Thallium alone, as its documentation has it, to compare the store's transport with: an RPC that
// does nothing, one that pulls bytes out of the client's memory, one that pushes bytes into it.
//
// Both sides use memory that is registered once, and one transfer for all bytes. The walk over
// graphs is served too, as its authors do: by an RPC that takes a graph.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "graph_walk.hpp"

namespace parsl_tl {

class BareThalliumServer {
 public:
  explicit BareThalliumServer(const std::string& address);
  ~BareThalliumServer();

  std::string address() const;
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Each call gives the seconds that it took.
class BareThalliumClient {
 public:
  explicit BareThalliumClient(const std::string& address);
  ~BareThalliumClient();

  double rpc();
  double put(std::span<const std::uint8_t> bytes);
  double get(std::uint64_t bytes);
  /// Stores a graph, and finds the one with the longest common prefix: see graph_walk.hpp.
  void add_graph(std::uint64_t model_id, double quality, const WalkInput& graph);
  std::optional<WalkMatch> walk(const WalkInput& graph);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace parsl_tl
