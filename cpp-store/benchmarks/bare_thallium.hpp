// Thallium alone, as its documentation has it, to compare the store's transport with: an RPC that
// does nothing, one that pulls bytes out of the client's memory, one that pushes bytes into it.
//
// Both sides use memory that is registered once, and one transfer for all bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

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

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace parsl_tl
