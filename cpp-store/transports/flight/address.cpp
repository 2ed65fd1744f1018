#include "address.hpp"

#include <arrow/result.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>

#include "errors.hpp"

namespace parsl_tl {
namespace {

constexpr std::string_view kTcp = "grpc+tcp://";
constexpr std::string_view kTls = "grpc+tls://";
constexpr std::string_view kUnix = "grpc+unix://";

[[noreturn]] void refuse(const std::string& text, const std::string& why) {
  throw StoreException(ErrorCode::kInvalidValue,
                       "'" + text + "' is no address of a Flight server: " + why +
                           ". Give grpc+tcp://host:port, grpc+tls://host:port or "
                           "grpc+unix:///absolute/path");
}

int parse_port(const std::string& text, std::string_view digits) {
  int port = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc() || end != digits.data() + digits.size() || port < 0 || port > 65535) {
    refuse(text, "its port is '" + std::string(digits) + "'");
  }
  return port;
}

void parse_host_and_port(FlightAddress& address, std::string_view rest) {
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) refuse(address.text, "it has no port");
  address.port = parse_port(address.text, rest.substr(colon + 1));
  std::string_view host = rest.substr(0, colon);
  address.bracketed_host = host;
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto is_plain = [bracketed](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == '_' || (bracketed && c == ':');
  };
  if (host.empty() || !std::all_of(host.begin(), host.end(), is_plain)) {
    refuse(address.text, "its host is '" + std::string(host) + "'");
  }
  address.host = host;
}

/// The path travels through URIs on its way to gRPC, which takes it as it is.
bool is_plain_path(std::string_view path) {
  return std::all_of(path.begin(), path.end(), [](unsigned char c) {
    return std::isalnum(c) || std::string_view("/._-+=,@~").find(c) != std::string_view::npos;
  });
}

void parse_path(FlightAddress& address, std::string_view path) {
  if (!path.starts_with('/') || path.ends_with('/')) {
    refuse(address.text, "its path is '" + std::string(path) + "'");
  }
  if (!is_plain_path(path)) {
    refuse(address.text, "its path may have letters, digits and / . _ - + = , @ ~ only");
  }
  address.path = path;
}

}  // namespace

FlightAddress parse_flight_address(const std::string& text) {
  FlightAddress address;
  address.text = text;
  const std::string_view all = text;
  if (all.starts_with(kTcp)) {
    parse_host_and_port(address, all.substr(kTcp.size()));
  } else if (all.starts_with(kTls)) {
    address.tls = true;
    parse_host_and_port(address, all.substr(kTls.size()));
  } else if (all.starts_with(kUnix)) {
    parse_path(address, all.substr(kUnix.size()));
  } else {
    refuse(text, "its scheme is another");
  }
  return address;
}

arrow::flight::Location FlightAddress::location() const {
  using arrow::flight::Location;
  auto made = is_unix() ? Location::ForGrpcUnix(path)
              : tls     ? Location::ForGrpcTls(bracketed_host, port)
                        : Location::ForGrpcTcp(bracketed_host, port);
  if (!made.ok()) refuse(text, made.status().message());
  return *made;
}

}  // namespace parsl_tl
