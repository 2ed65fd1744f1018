// How a server is asked, as Python says it.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <optional>

#include "server_connection.hpp"
#include "token.hpp"

namespace parsl_tl {

inline std::chrono::milliseconds milliseconds_of(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

inline ConnectionOptions connection_options(const std::optional<pybind11::bytes>& token,
                                            double timeout, double retry_seconds,
                                            bool maps_segments) {
  ConnectionOptions options;
  if (token) options.token = token_of(*token);
  options.timeout = milliseconds_of(timeout);
  options.retry_for = milliseconds_of(retry_seconds);
  options.maps_segments = maps_segments;
  return options;
}

}  // namespace parsl_tl
