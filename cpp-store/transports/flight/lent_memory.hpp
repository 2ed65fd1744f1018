// Memory that a call lends to its transport.
//
// When a stream ends early, because of a timeout or a server that is gone, gRPC may still have to
// write what lies in a connection's buffer. That ends with the connection at the latest, and a
// connection ends when its last call does: a channel lets go of one that failed before it waits
// here, so that what is left to wait for are the timeouts of calls that hang as well.
#pragma once

#include <future>
#include <memory>

namespace parsl_tl {

/// The caller's memory, lent to gRPC: however a call ends, it may not return before gRPC has let go
/// of the last part that points there.
class LentMemory {
 public:
  LentMemory() : LentMemory(std::make_shared<Token>()) {}
  ~LentMemory() {
    token_.reset();
    returned_.wait();
  }
  LentMemory(const LentMemory&) = delete;
  LentMemory& operator=(const LentMemory&) = delete;

  /// To be held by everything that points there.
  const std::shared_ptr<const void>& token() const noexcept { return token_; }

 private:
  struct Token {
    std::promise<void> gone;
    ~Token() { gone.set_value(); }
  };

  explicit LentMemory(const std::shared_ptr<Token>& token)
      : returned_(token->gone.get_future()), token_(token) {}

  std::future<void> returned_;
  std::shared_ptr<const void> token_;
};

}  // namespace parsl_tl
