// The Flight transport as the contract's tests take it.
#pragma once

#include <arrow/buffer.h>
#include <unistd.h>

#include <string>

#include "flight.hpp"
#include "transport_contract.hpp"

namespace parsl_tl::testing {

/// The program beside this one.
inline std::string program_beside(const std::string& name) {
  std::string self(4096, '\0');
  const auto size = ::readlink("/proc/self/exe", self.data(), self.size());
  self.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return self.substr(0, self.rfind('/') + 1) + name;
}

inline Transport over_flight(const std::string& address) {
  Transport transport;
  transport.address = address;
  transport.listen = listen_flight;
  transport.connect = connect_flight;
  transport.server_program = program_beside("flight_test_server");
  return transport;
}

inline std::shared_ptr<arrow::Buffer> zeros(std::int64_t size) {
  return arrow::Buffer::FromString(std::string(static_cast<std::size_t>(size), '\0'));
}

}  // namespace parsl_tl::testing
