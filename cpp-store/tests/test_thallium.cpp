// The contract of transports over Thallium, and what only Thallium has.
#include <csignal>
#include <thread>

#include "contract_ends.hpp"
#include "thallium_ends.hpp"

namespace parsl_tl::testing {
namespace {

using std::chrono::milliseconds;

Transport over_tcp() { return over_thallium("ofi+tcp://127.0.0.1:0"); }
Transport over_sm() { return over_thallium("na+sm://"); }

// Thallium writes into the caller's memory and never offers parts to keep, so that nothing can be
// stalled by them.
TRANSPORT_CONTRACT_OF_ALL(tcp, over_tcp)
TRANSPORT_CASE(tcp, strangers_take_no_memory, over_tcp)
TRANSPORT_CASE(tcp, restart, over_tcp)
TRANSPORT_CONTRACT_OF_ALL(sm, over_sm)
TRANSPORT_CASE(sm, strangers_take_no_memory, over_sm)

/// Around the size up to which a message travels alone, and up to the largest.
void sizes_of_messages(const Transport& transport) {
  const Ends ends(transport);
  const auto channel = ends.connect();
  std::vector<std::size_t> sizes{kMostMessageBytes - 5};
  for (std::size_t size = 3900; size < 4200; ++size) sizes.push_back(size);
  for (const std::size_t size : sizes) {
    const auto bytes = stream_bytes(size, 0, size);
    const std::string text(bytes.begin(), bytes.end());
    CHECK(ask(*channel, "echo " + text) == text);
  }
  for (std::size_t size = 3700; size < 4200; ++size) {
    CHECK_EQ(upload(*channel, "upload", {size / 2, size - size / 2}), whole_upload(size));
  }
  for (std::size_t size = 2000; size < 2100; ++size) check_download(*channel, size, {size});
  // A large request beside an upload, and a list of pieces that is longer than a message.
  const std::string request = "upload " + std::string(1 << 20, 'x');
  CHECK_EQ(upload(*channel, request, {5 << 20}), whole_upload(5 << 20));
  const std::vector<std::size_t> many(500, 20'000);
  CHECK_EQ(upload(*channel, "upload", many), whole_upload(500 * 20'000));
  check_download(*channel, 3, many);
}

/// The receiving thread answers them itself, unless bulk data has to be moved.
void quick_requests(const Transport& transport) {
  const Ends ends(transport, 1);
  const auto channel = ends.connect();
  {
    std::jthread waiting([&] { CHECK_EQ(ask(*ends.connect(), "wait"), "released"); });
    while (ends.handler->waiting() == 0) std::this_thread::sleep_for(milliseconds(5));
    for (const std::size_t size : {0, 1, 2000}) {  // while the only worker is at work
      CHECK_EQ(ask(*channel, "quick " + std::string(size, 'q')), std::string(size, 'q'));
      CHECK_EQ(upload(*channel, "quick-upload", {size}), whole_upload(size));
    }
    CHECK_THROWS(upload(*channel, "quick-upload", {5 << 20}, milliseconds(300)),
                 ErrorCode::kUnreachable);
    ends.handler->release();
  }
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int call = 0; call < 100; ++call) {
        CHECK_EQ(ask(*channel, "quick 1"), "1");
        CHECK_EQ(ask(*channel, "echo 2"), "2");
        CHECK_EQ(upload(*channel, "quick-upload", {5000}), whole_upload(5000));
      }
    });
  }
}

CASE(tcp_quick_requests) { quick_requests(over_tcp()); }
CASE(sm_quick_requests) { quick_requests(over_sm()); }

CASE(tcp_sizes_of_messages) { sizes_of_messages(over_tcp()); }
CASE(sm_sizes_of_messages) { sizes_of_messages(over_sm()); }

CASE(addresses) {
  for (const char* wrong : {"", "nonsense", "://", "ofi+tcp:127.0.0.1:1"}) {
    CHECK_THROWS(connect_to(over_tcp(), wrong), ErrorCode::kInvalidValue);
    CHECK_THROWS(Ends(over_thallium(wrong)), ErrorCode::kInvalidValue);
  }
  for (const char* wrong : {"ofi+nothing://127.0.0.1:0", "ofi+tcp://192.0.2.250:0"}) {
    CHECK_THROWS(Ends(over_thallium(wrong)), ErrorCode::kIo);
  }
  CHECK_THROWS(ask(*connect_to(over_tcp(), "ofi+nothing://127.0.0.1:1"), "echo"), ErrorCode::kIo);
  // A port that is in use, and everything goes on after it.
  const Ends ends(over_tcp());
  CHECK_THROWS(Ends(over_thallium(ends.listener->address())), ErrorCode::kIo);
  CHECK_EQ(ask(*ends.connect(), "echo here"), "here");
}

CASE(providers) {
  for (const char* address : {"ofi+tcp://127.0.0.1:0", "na+sm://"}) {
    Transport transport = over_thallium(address);
    transport.listen_options.provider_id = 7;
    const Ends ends(transport);
    CHECK(ends_soon([&] { CHECK_THROWS(ask(*ends.connect(), "echo"), ErrorCode::kUnreachable); }));
    transport.connect_options.provider_id = 7;
    CHECK_EQ(ask(*connect_to(transport, ends.listener->address()), "echo seven"), "seven");
  }
}

CASE(errors_name_the_address) {
  try {
    ask(*connect_to(over_tcp(), "ofi+tcp://127.0.0.1:1"), "echo", milliseconds(300));
  } catch (const StoreException& error) {
    CHECK(std::string(error.what()).find("ofi+tcp://127.0.0.1:1") != std::string::npos);
  }
}

}  // namespace
}  // namespace parsl_tl::testing
