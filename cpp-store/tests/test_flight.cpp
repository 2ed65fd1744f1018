// The contract over Flight, and what only Flight has: certificates and socket files.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certificates.hpp"
#include "contract_ends.hpp"
#include "flight_ends.hpp"
#include "scratch.hpp"

namespace parsl_tl::testing {
namespace {

Transport over_tcp() { return over_flight("grpc+tcp://127.0.0.1:0"); }

/// A socket in a folder that lives as long as the process.
Transport over_unix() {
  static const Scratch folder;
  return over_flight("grpc+unix://" + (folder / "socket"));
}

Transport over_tls() {
  Transport transport = over_flight("grpc+tls://localhost:0");
  transport.listen_options.certificate = kGoodCertificate;
  transport.listen_options.key = kGoodKey;
  transport.connect_options.ca_certificate = kGoodCertificate;
  return transport;
}

TRANSPORT_CONTRACT(tcp, over_tcp)
TRANSPORT_CASE(tcp, strangers_take_no_memory, over_tcp)
TRANSPORT_CONTRACT(local, over_unix)
TRANSPORT_CASE(tls, echo, over_tls)
TRANSPORT_CASE(tls, uploads, over_tls)
TRANSPORT_CASE(tls, downloads, over_tls)
TRANSPORT_CASE(tls, threads, over_tls)
TRANSPORT_CASE(tls, restart, over_tls)
TRANSPORT_CASE(tls, nobody_there, over_tls)

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const StoreException& error) {
    return error.what();
  }
  return "nothing was thrown";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

mode_t mode_of(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_mode : 0;
}

CASE(addresses) {
  for (const char* wrong :
       {"", "tcp://localhost:1", "grpc+tcp://", "grpc+tcp://localhost", "grpc+tcp://localhost:x",
        "grpc+tcp://localhost:70000", "grpc+tcp://:1", "grpc+tcp://a/b:1", "grpc+tcp://a b:1",
        "grpc+tcp://localhost:1?x=1", "grpc+tcp://localhost:-1", "grpc+unix://", "grpc+unix://a",
        "grpc+unix:///", "grpc+unix:///a b", "grpc+unix:///a%20b", "ofi+tcp://localhost:1"}) {
    CHECK_THROWS(connect_flight({.address = wrong, .ca_certificate = ""}),
                 ErrorCode::kInvalidValue);
    ListenOptions options;
    options.address = wrong;
    CHECK_THROWS(listen_flight(options, nullptr), ErrorCode::kInvalidValue);
  }
}

CASE(ipv6) {
  const int fd = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  const bool is_there =
      fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&loopback), sizeof loopback) == 0;
  if (fd >= 0) ::close(fd);
  if (is_there) contract_echo(over_flight("grpc+tcp://[::1]:0"));
}

CASE(address_in_use) {
  const Ends first(over_tcp());
  ListenOptions options;
  options.address = first.listener->address();
  CHECK_THROWS(listen_flight(options, first.handler), ErrorCode::kIo);
  const std::string said = message_of([&] { listen_flight(options, first.handler); });
  CHECK(contains(said, options.address));
  CHECK(contains(said, "already in use"));
  CHECK_EQ(ask(*first.connect(), "echo still"), "still");
}

CASE(address_of_another_machine) {
  ListenOptions options;
  for (const char* address : {"grpc+tcp://192.0.2.1:0", "grpc+tcp://no-such-host.invalid:0"}) {
    options.address = address;
    CHECK_THROWS(listen_flight(options, std::make_shared<ContractHandler>()), ErrorCode::kIo);
  }
}

CASE(tls_that_nobody_trusts) {
  const Ends ends(over_tls());
  Transport stranger = over_tls();
  stranger.connect_options.ca_certificate = kStrangerCertificate;
  const std::string address = ends.listener->address();
  CHECK_THROWS(ask(*connect_to(stranger, address), "echo"), ErrorCode::kDenied);
  CHECK(contains(message_of([&] { ask(*connect_to(stranger, address), "echo"); }), address));
  // The authorities of the system do not know it either.
  stranger.connect_options.ca_certificate.clear();
  CHECK_THROWS(ask(*connect_to(stranger, address), "echo"), ErrorCode::kDenied);
  stranger.connect_options.ca_certificate =
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  CHECK_THROWS(ask(*connect_to(stranger, address), "echo"), ErrorCode::kDenied);
  stranger.connect_options.ca_certificate = kStrangerCertificate;
  TestDownload into({100});
  CHECK_THROWS(download(*connect_to(stranger, address), "download 1 100", into),
               ErrorCode::kDenied);
  CHECK_THROWS(upload(*connect_to(stranger, address), "upload", {5 << 20}), ErrorCode::kDenied);
  CHECK_EQ(ask(*ends.connect(), "echo still"), "still");
}

CASE(certificates_of_clients) {
  ConnectOptions options;
  options.address = "grpc+tls://localhost:1";
  options.ca_certificate = "/a/path/rather.pem";
  CHECK_THROWS(connect_flight(options), ErrorCode::kInvalidValue);
  options.address = "grpc+tcp://localhost:1";
  options.ca_certificate = kGoodCertificate;
  CHECK_THROWS(connect_flight(options), ErrorCode::kInvalidValue);
}

CASE(tls_of_another_host) {
  Transport other = over_tls();
  other.listen_options.certificate = kOtherHostCertificate;
  other.listen_options.key = kOtherHostKey;
  other.connect_options.ca_certificate = kOtherHostCertificate;
  const Ends ends(other);
  CHECK_THROWS(ask(*ends.connect(), "echo"), ErrorCode::kDenied);
}

CASE(tls_on_one_side_only) {
  const auto with_scheme = [](std::string address, const std::string& scheme) {
    return scheme + address.substr(address.find("://"));
  };
  const Ends plain(over_tcp());
  CHECK_THROWS(
      ask(*connect_to(over_tls(), with_scheme(plain.listener->address(), "grpc+tls")), "echo"),
      ErrorCode::kDenied);
  const Ends tls(over_tls());
  CHECK_THROWS(ask(*connect_to(over_tcp(), with_scheme(tls.listener->address(), "grpc+tcp")),
                   "echo", std::chrono::milliseconds(3000)),
               ErrorCode::kUnreachable);
}

CASE(tls_without_a_usable_certificate) {
  ListenOptions options;
  options.address = "grpc+tls://localhost:0";
  const auto handler = std::make_shared<ContractHandler>();
  CHECK_THROWS(listen_flight(options, handler), ErrorCode::kInvalidValue);
  options.certificate = kGoodCertificate;
  CHECK_THROWS(listen_flight(options, handler), ErrorCode::kInvalidValue);
  for (const char* key : {"no key", kStrangerKey}) {
    options.key = key;
    CHECK_THROWS(listen_flight(options, handler), ErrorCode::kInvalidValue);
  }
  options.address = "grpc+tcp://localhost:0";
  CHECK_THROWS(listen_flight(options, handler), ErrorCode::kInvalidValue);
}

CASE(socket_file) {
  const Scratch folder;
  const std::string path = folder / "socket";
  {
    const mode_t before = ::umask(0);  // not even then may others connect
    Ends ends(over_flight("grpc+unix://" + path));
    ::umask(before);
    CHECK_EQ(mode_of(path), static_cast<mode_t>(S_IFSOCK | 0600));
    CHECK_EQ(ends.listener->address(), "grpc+unix://" + path);
    CHECK_EQ(ask(*ends.connect(), "echo here"), "here");

    // A live server's socket stays.
    ListenOptions options;
    options.address = "grpc+unix://" + path;
    CHECK_THROWS(listen_flight(options, ends.handler), ErrorCode::kIo);
    CHECK(contains(message_of([&] { listen_flight(options, ends.handler); }), path));
    CHECK_EQ(ask(*ends.connect(), "echo still"), "still");
    ends.listener->stop(std::chrono::milliseconds(100));
    CHECK_EQ(mode_of(path), mode_t{0});
  }
  // Nothing else is left.
  CHECK_EQ(::rmdir(folder.path().c_str()), 0);
  ::mkdir(folder.path().c_str(), 0700);
}

CASE(socket_file_of_a_dead_server) {
  const Scratch folder;
  const std::string path = folder / "socket";
  const Transport transport = over_flight("grpc+unix://" + path);
  {
    ServerProcess server(transport, transport.address);
  }
  CHECK_EQ(mode_of(path), static_cast<mode_t>(S_IFSOCK | 0600));
  const Ends ends(transport);
  CHECK_EQ(ask(*ends.connect(), "echo here"), "here");
}

CASE(socket_file_that_is_none) {
  const Scratch folder;
  const std::string path = folder / "file";
  write_file(path, {1, 2, 3});
  ListenOptions options;
  options.address = "grpc+unix://" + path;
  const auto handler = std::make_shared<ContractHandler>();
  CHECK_THROWS(listen_flight(options, handler), ErrorCode::kIo);
  CHECK_EQ(read_file(path).size(), 3UL);
  options.address = "grpc+unix://" + (folder / "no/such/folder");
  CHECK_THROWS(listen_flight(options, handler), ErrorCode::kNotFound);
  options.address = "grpc+unix://" + folder.path() + "/" + std::string(100, 'x');
  CHECK_THROWS(listen_flight(options, handler), ErrorCode::kInvalidValue);
}

CASE(socket_file_that_another_took_over) {
  const Scratch folder;
  const std::string path = folder / "socket";
  Ends ends(over_flight("grpc+unix://" + path));
  ::unlink(path.c_str());
  write_file(path, {1});
  ends.listener->stop(std::chrono::milliseconds(0));
  CHECK_EQ(read_file(path).size(), 1UL);
}

}  // namespace
}  // namespace parsl_tl::testing
