// Who does not show the password takes no memory of a server.
#include <atomic>
#include <thread>

#include "contract_ends.hpp"
#include "transport_contract.hpp"

namespace parsl_tl::testing {
namespace {

// Four requests of 15 MB and four uploads of 64 MB are far more; a connection, and what a library
// sets up at its first one, is less.
constexpr std::int64_t kFewBytes = 24 << 20;

struct Answers {
  std::atomic<int> denied = 0;
  std::atomic<int> cut = 0;
  std::atomic<int> whole = 0;
};

/// Four clients, each with a large request and with a long upload.
void flood(const Transport& transport, const std::string& address, const std::string& password,
           std::chrono::milliseconds timeout, Answers& answers) {
  const std::string request = password + " echo " + std::string((15 << 20), 'x');
  constexpr std::size_t kUpload = 64 << 20;
  const auto count = [&](auto work, const std::string& whole) {
    try {
      const std::string reply = work();
      if (reply == "denied") ++answers.denied;
      if (reply == whole) ++answers.whole;
    } catch (const StoreException& error) {
      CHECK_EQ(error.code(), ErrorCode::kUnreachable);
      ++answers.cut;
    }
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto channel = connect_to(transport, address);
      count([&] { return ask(*channel, request, timeout); }, std::string(15 << 20, 'x'));
      count([&] { return upload(*channel, password + " upload", {kUpload}, timeout); },
            whole_upload(kUpload));
    });
  }
}

}  // namespace

void contract_strangers_take_no_memory(const Transport& transport) {
  const GuardedProcess server(transport, "sesame");
  const auto channel = connect_to(transport, server.address());
  CHECK_EQ(ask(*channel, "sesame echo here"), "here");
  CHECK_EQ(ask(*connect_to(transport, server.address()), "guess echo here"), "denied");

  const std::int64_t before = server.peak_memory();
  Answers strangers;
  flood(transport, server.address(), "guess", std::chrono::seconds(10), strangers);
  CHECK_EQ(strangers.denied + strangers.cut, 8);
  CHECK(server.peak_memory() - before < kFewBytes);
  CHECK_EQ(ask(*channel, "sesame echo still"), "still");

  // The same from who knows the password is taken in, which takes memory.
  Answers friends;
  flood(transport, server.address(), "sesame", kDeadline, friends);
  CHECK_EQ(friends.whole, 8);
  CHECK(server.peak_memory() - before > kFewBytes);
}

}  // namespace parsl_tl::testing
