// What every transport has to keep to, as tests that run over any of them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "check.hpp"
#include "transport.hpp"

namespace parsl_tl::testing {

/// How the ends of one transport are made.
struct Transport {
  std::string address;  // to listen at, with a port that the transport picks
  std::function<std::shared_ptr<Listener>(const ListenOptions&, std::shared_ptr<Handler>)> listen;
  std::function<std::shared_ptr<Channel>(const ConnectOptions&)> connect;
  std::string server_program;  // its main function is contract_program
  ListenOptions listen_options{};
  ConnectOptions connect_options{};
};

void contract_echo(const Transport& transport);
void contract_uploads(const Transport& transport);
void contract_downloads(const Transport& transport);
void contract_kept_downloads(const Transport& transport);
void contract_threads(const Transport& transport);
void contract_untaken_uploads(const Transport& transport);
void contract_unsent_downloads(const Transport& transport);
void contract_too_large_request(const Transport& transport);
void contract_work_is_bounded(const Transport& transport);
void contract_timeout(const Transport& transport);
void contract_nobody_there(const Transport& transport);
void contract_server_killed(const Transport& transport);
void contract_server_frozen(const Transport& transport);
void contract_client_frozen(const Transport& transport);
void contract_restart(const Transport& transport);
void contract_slow_reader(const Transport& transport);
void contract_stop(const Transport& transport);
void contract_many_channels(const Transport& transport);
void contract_memory_is_let_go(const Transport& transport);
void contract_strangers_take_no_memory(const Transport& transport);

/// The main function of a program that tests start, freeze and kill. With one argument it serves
/// there, prints the address, and goes on until its input ends; with "guarded", an address and a
/// password it serves only who knows that. With "download", an address and a
/// number of bytes it downloads so much from there, again and again, and prints a line each time.
int contract_program(const Transport& transport, int argc, char** argv);

}  // namespace parsl_tl::testing

/// All of them as cases whose names begin with `name`; `make` gives the Transport.
#define TRANSPORT_CASE(name, part, make) \
  CASE(name##_##part) { ::parsl_tl::testing::contract_##part(make()); }
/// What every transport has to do.
#define TRANSPORT_CONTRACT_OF_ALL(name, make)   \
  TRANSPORT_CASE(name, echo, make)              \
  TRANSPORT_CASE(name, uploads, make)           \
  TRANSPORT_CASE(name, downloads, make)         \
  TRANSPORT_CASE(name, threads, make)           \
  TRANSPORT_CASE(name, untaken_uploads, make)   \
  TRANSPORT_CASE(name, unsent_downloads, make)  \
  TRANSPORT_CASE(name, too_large_request, make) \
  TRANSPORT_CASE(name, work_is_bounded, make)   \
  TRANSPORT_CASE(name, timeout, make)           \
  TRANSPORT_CASE(name, nobody_there, make)      \
  TRANSPORT_CASE(name, server_frozen, make)     \
  TRANSPORT_CASE(name, many_channels, make)
/// And one that offers parts of a download to be kept.
#define TRANSPORT_CONTRACT(name, make)       \
  TRANSPORT_CONTRACT_OF_ALL(name, make)      \
  TRANSPORT_CASE(name, kept_downloads, make) \
  TRANSPORT_CASE(name, server_killed, make)  \
  TRANSPORT_CASE(name, client_frozen, make)  \
  TRANSPORT_CASE(name, restart, make)        \
  TRANSPORT_CASE(name, slow_reader, make)    \
  TRANSPORT_CASE(name, stop, make)           \
  TRANSPORT_CASE(name, memory_is_let_go, make)
