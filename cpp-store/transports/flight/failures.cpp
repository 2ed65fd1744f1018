#include "failures.hpp"

#include <arrow/flight/types.h>

#include <string_view>

#include "wire.hpp"

namespace parsl_tl {
namespace {

/// gRPC has no code for a handshake that failed; only its text tells.
bool is_distrust(const std::string& text) {
  for (const char* sign : {"SSL_ERROR_SSL", "Peer name", "empty address list"}) {
    if (text.find(sign) != std::string::npos) return true;
  }
  return false;
}

/// The message without what goes before the cause, and what only helps to debug gRPC itself.
std::string readable(std::string message) {
  message = message.substr(0, message.find(". gRPC client debug context"));
  for (const std::string_view before : {"with message: ", "last error: "}) {
    const std::size_t found = message.find(before);
    if (found != std::string::npos) message = message.substr(found + before.size());
  }
  return message;
}

}  // namespace

StoreException flight_failure(const arrow::Status& status, const std::string& address) {
  const std::string why = readable(status.message());
  if (address.starts_with("grpc+tls") && is_distrust(status.message())) {
    return {ErrorCode::kDenied, address + " is not trusted: " + why +
                                    "; check the certificate, and that both sides use TLS"};
  }
  if (why.find(kTooManyCalls) != std::string::npos) {
    return {ErrorCode::kBusy, address + ": " + why + "; try again later"};
  }
  return {ErrorCode::kUnreachable, "no reply from " + address + ": " + why};
}

StoreException broken_stream(const std::string& address, const std::string& what) {
  return {ErrorCode::kUnreachable, "no whole reply from " + address + ": " + what};
}

}  // namespace parsl_tl
