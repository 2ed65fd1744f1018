// Addresses of Flight servers, taken apart and checked.
#pragma once

#include <arrow/flight/types.h>

#include <string>

namespace parsl_tl {

struct FlightAddress {
  std::string text;  // as it was given
  bool tls = false;
  std::string host;            // empty for a Unix socket
  std::string bracketed_host;  // as in URIs: IPv6 has brackets
  int port = 0;
  std::string path;  // of a Unix socket

  bool is_unix() const noexcept { return !path.empty(); }
  arrow::flight::Location location() const;
};

/// Throws kInvalidValue with what is wrong and how an address looks.
FlightAddress parse_flight_address(const std::string& text);

}  // namespace parsl_tl
