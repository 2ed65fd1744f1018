// Both ends of the Thallium transport, for tests that run over any transport.
#pragma once

#include <unistd.h>

#include <array>
#include <string>

#include "thallium_transport.hpp"
#include "transport_contract.hpp"

namespace parsl_tl::testing {

/// A program that lies beside the running one.
inline std::string beside_this_program(const std::string& name) {
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  const std::string self(path.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  return self.substr(0, self.rfind('/') + 1) + name;
}

inline Transport over_thallium(const std::string& address) {
  Transport transport;
  transport.address = address;
  transport.listen = listen_thallium;
  transport.connect = connect_thallium;
  transport.server_program = beside_this_program("thallium_test_server");
  return transport;
}

}  // namespace parsl_tl::testing
