// What can go wrong in the engine. One exception type with a code: the code decides what the
// caller can do about it, and becomes a Python class (or an RPC status) at the border.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace parsl_tl {

enum class ErrorCode {
  kInvalidValue,  // an argument that can never work
  kFormat,        // no store, or one of another format
  kCorrupt,       // bytes that fail their checksum
  kFull,          // disk or quota is full
  kPermission,    // not allowed by the file system
  kClosed,        // used after close
  kNotFound,      // no living model has the id
  kExists,        // the id was used before
  kDonorGone,     // inherited layers were freed meanwhile
  kIo,            // anything else the operating system refuses
  kUnreachable,   // a server did not answer in time
  kDenied,        // a server did not accept the token
  kBusy,          // a server has more to do than its limits allow
  kWrongStore,    // a server or a folder is not the store that it is taken for
  kStale,         // a put that was given up meanwhile; what it held has to be held anew
};

class StoreException : public std::runtime_error {
 public:
  StoreException(ErrorCode code, const std::string& message)
      : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

/// Throws the exception that fits an errno value, with the action and the path in its text.
[[noreturn]] void throw_errno(int error, const std::string& action, const std::string& path);

/// A model id as users see it: 16 hex digits.
std::string hex_id(std::uint64_t id);

}  // namespace parsl_tl
