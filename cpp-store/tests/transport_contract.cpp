#include "transport_contract.hpp"

#include <arrow/buffer.h>

#include <thread>

#include "contract_ends.hpp"

namespace parsl_tl::testing {
namespace {

using std::chrono::milliseconds;

const std::vector<std::vector<std::size_t>>& shapes() {
  static const std::vector<std::vector<std::size_t>> all{
      {0},
      {1},
      {0, 1, 0},
      {8},
      std::vector<std::size_t>(700, 3),
      {kPartBytes - 1},
      {kPartBytes},
      {kPartBytes + 1},
      {3, kPartBytes, 5, 7, 2 * kPartBytes + 9, 1},
      {(5 << 20) + 1},
      mixed_sizes(40 << 20, 1),
  };
  return all;
}

std::uint64_t total(const std::vector<std::size_t>& sizes) {
  std::uint64_t sum = 0;
  for (const std::size_t size : sizes) sum += size;
  return sum;
}

/// What a handler says to its client of an error that it got.
bool is_error(const std::string& reply, ErrorCode code) {
  return reply.starts_with("error " + std::to_string(static_cast<int>(code)) + " ");
}

/// An address where a server was and is no more.
std::string left_address(const Transport& transport) {
  const Ends ends(transport);
  return ends.listener->address();
}

template <typename Condition>
bool comes_true(Condition condition, milliseconds within = kDeadline) {
  const auto end = std::chrono::steady_clock::now() + within;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

/// Whether a call fails with kUnreachable, and soon.
template <typename Work>
bool is_soon_unreachable(Work work) {
  return ends_soon([&] { CHECK_THROWS(work(), ErrorCode::kUnreachable); });
}

}  // namespace

void contract_echo(const Transport& transport) {
  const Ends ends(transport);
  const auto channel = ends.connect();
  for (const std::size_t size : {0UL, 1UL, 7UL, 4096UL, 65'537UL, 1UL << 20, 4UL << 20}) {
    const auto bytes = stream_bytes(size, 0, size);
    const std::string text(bytes.begin(), bytes.end());
    CHECK(ask(*channel, "echo " + text) == text);
  }
  CHECK_EQ(ask(*channel, "what"), "unknown word what");
}

void contract_uploads(const Transport& transport) {
  const Ends ends(transport);
  const auto channel = ends.connect();
  for (const auto& sizes : shapes()) {
    CHECK_EQ(upload(*channel, "upload", sizes), whole_upload(total(sizes)));
  }
  CHECK_EQ(ask(*channel, "upload"), whole_upload(0));
}

void contract_downloads(const Transport& transport) {
  const Ends ends(transport);
  const auto channel = ends.connect();
  std::uint64_t stream = 0;
  for (const auto& sizes : shapes()) check_download(*channel, ++stream, sizes);
}

void contract_kept_downloads(const Transport& transport) {
  const Ends ends(transport);
  auto channel = ends.connect();
  std::uint64_t stream = 100;
  for (const auto& sizes : shapes()) {
    check_download(*channel, ++stream, sizes, 1);
    check_download(*channel, ++stream, sizes, 2);
    check_download(*channel, ++stream, sizes, 3);
  }
  // What was kept outlives its channel.
  TestDownload into({5 << 20}, 1);
  download(*channel, download_request(3, {5 << 20}), into);
  channel.reset();
  CHECK(into.bytes() == stream_bytes(3, 0, 5 << 20));
}

void contract_threads(const Transport& transport) {
  const Ends ends(transport);
  const auto channel = ends.connect();
  std::vector<std::jthread> threads;
  for (std::uint64_t number = 0; number < 6; ++number) {
    threads.emplace_back([&channel, number] {
      for (std::uint64_t round = 0; round < 5; ++round) {
        const std::string text = std::to_string(number) + "/" + std::to_string(round);
        CHECK_EQ(ask(*channel, "echo " + text), text);
        const auto sizes = mixed_sizes((1 << 20) + number, 10 * number + round);
        CHECK_EQ(upload(*channel, "upload", sizes), whole_upload(total(sizes)));
        check_download(*channel, number, sizes, static_cast<unsigned>(round % 3));
      }
    });
  }
}

void contract_untaken_uploads(const Transport& transport) {
  const Ends ends(transport);
  const auto channel = ends.connect();
  // Short replies and long ones, small uploads and large ones, nothing taken or something.
  for (const std::size_t reply : {0UL, 10UL, 1024UL, 1025UL, 100'000UL}) {
    const std::string wanted(reply, 'r');
    for (const std::size_t size : {1UL, 100'000UL, 40UL << 20}) {
      for (const std::size_t taken : {0UL, 1UL, 3UL << 20}) {
        const std::string request =
            "upload-some " + std::to_string(taken) + " " + std::to_string(reply);
        CHECK(upload(*channel, request, {size}) == wanted);
      }
    }
    CHECK_EQ(ask(*channel, "echo next"), "next");
  }
}

void contract_unsent_downloads(const Transport& transport) {
  const Ends ends(transport);
  const auto channel = ends.connect();
  // An error has no bytes beside it: its reply comes, and the memory stays as it was.
  TestDownload nothing({100});
  CHECK_EQ(download(*channel, "refuse-download", nothing), "refused");
  CHECK(nothing.bytes() == Bytes(100, 0xAA));
  for (const std::size_t other : {0UL, 99UL, 101UL, 5UL << 20}) {
    TestDownload into({100});
    const std::string request = "send-other " + std::to_string(other);
    CHECK(is_error(download(*channel, request, into), ErrorCode::kInvalidValue));
    CHECK(into.bytes() == Bytes(100, 0xAA));
    if (other > 0) CHECK(is_error(ask(*channel, request), ErrorCode::kInvalidValue));
  }
  CHECK(is_error(upload(*channel, "send-other 5", {10}), ErrorCode::kInvalidValue));
  TestDownload twice({100});
  CHECK(is_error(download(*channel, "send-twice 100", twice), ErrorCode::kInvalidValue));
  check_download(*channel, 5, {100});
}

void contract_too_large_request(const Transport& transport) {
  const Ends ends(transport);
  const auto channel = ends.connect();
  const std::string request(kMostMessageBytes + 1, 'x');
  CHECK_THROWS(ask(*channel, request), ErrorCode::kInvalidValue);
  CHECK_THROWS(upload(*channel, request, {1}), ErrorCode::kInvalidValue);
  CHECK_EQ(ask(*channel, "echo next"), "next");
}

void contract_work_is_bounded(const Transport& transport) {
  const Ends ends(transport, 2);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&ends] { CHECK_EQ(ask(*ends.connect(), "wait"), "released"); });
  }
  CHECK(comes_true([&] { return ends.handler->waiting() == 2; }));
  std::this_thread::sleep_for(milliseconds(200));
  CHECK_EQ(ends.handler->waiting(), 2);
  ends.handler->release();
  threads.clear();
  CHECK_EQ(ends.handler->most_at_once(), 2);
}

void contract_timeout(const Transport& transport) {
  const Ends ends(transport, 1);
  const auto channel = ends.connect();
  CHECK(is_soon_unreachable([&] { ask(*channel, "wait", milliseconds(300)); }));
  // The only thread is still at work: nobody else is answered, and those who gave up are forgotten.
  CHECK(is_soon_unreachable([&] { ask(*channel, "echo", milliseconds(300)); }));
  TestDownload into({1000});
  CHECK(is_soon_unreachable(
      [&] { download(*channel, download_request(1, {1000}), into, milliseconds(300)); }));
  CHECK(is_soon_unreachable([&] { upload(*channel, "upload", {40 << 20}, milliseconds(300)); }));
  ends.handler->release();
  CHECK_EQ(ask(*channel, "echo again"), "again");
}

void contract_nobody_there(const Transport& transport) {
  const auto channel = connect_to(transport, left_address(transport));
  TestDownload into({1000});
  CHECK(is_soon_unreachable([&] { ask(*channel, "echo", milliseconds(2000)); }));
  CHECK(is_soon_unreachable([&] { upload(*channel, "upload", {5 << 20}, milliseconds(2000)); }));
  CHECK(is_soon_unreachable(
      [&] { download(*channel, download_request(1, {1000}), into, milliseconds(2000)); }));
}

void contract_server_killed(const Transport& transport) {
  std::string address = left_address(transport);
  auto server = std::make_unique<ServerProcess>(transport, address);
  const auto channel = connect_to(transport, server->address());
  address = server->address();
  CHECK_EQ(ask(*channel, "echo here"), "here");

  // In the middle of a call, and before one.
  std::jthread killer([&] {
    std::this_thread::sleep_for(milliseconds(200));
    server->kill();
  });
  CHECK(is_soon_unreachable([&] { ask(*channel, "wait", milliseconds(5000)); }));
  killer.join();
  CHECK(is_soon_unreachable([&] { ask(*channel, "echo", milliseconds(2000)); }));

  server = std::make_unique<ServerProcess>(transport, address);
  CHECK_EQ(ask(*channel, "echo again"), "again");

  // In the middle of streams.
  StalledDownload stalled({40 << 20});
  std::jthread reader([&] {
    CHECK_THROWS(download(*channel, download_request(1, {40 << 20}), stalled),
                 ErrorCode::kUnreachable);
  });
  stalled.wait_until_stalled();
  server->kill();
  stalled.go_on();
  reader.join();
  server = std::make_unique<ServerProcess>(transport, address);
  check_download(*channel, 2, {5 << 20});
}

void contract_server_frozen(const Transport& transport) {
  ServerProcess server(transport, left_address(transport));
  const auto channel = connect_to(transport, server.address());
  CHECK_EQ(ask(*channel, "echo here"), "here");
  server.freeze();
  CHECK(is_soon_unreachable([&] { ask(*channel, "echo", milliseconds(500)); }));
  // The memory of an upload may not be used any more once its call is over.
  CHECK(is_soon_unreachable([&] { upload(*channel, "upload", {40 << 20}, milliseconds(500)); }));
  TestDownload into({5 << 20});
  CHECK(is_soon_unreachable(
      [&] { download(*channel, download_request(1, {5 << 20}), into, milliseconds(500)); }));
  server.thaw();
  CHECK_EQ(ask(*channel, "echo again"), "again");

  // In the middle of an upload, with connections full of bytes that nobody reads.
  for (int round = 0; round < 5; ++round) {
    std::jthread freezer([&] {
      std::this_thread::sleep_for(milliseconds(20));
      server.freeze();
    });
    CHECK(is_soon_unreachable([&] {
      while (true) upload(*channel, "upload", {40 << 20}, milliseconds(500));
    }));
    freezer.join();
    CHECK(is_soon_unreachable([&] { ask(*channel, "echo", milliseconds(500)); }));
    server.thaw();
    CHECK_EQ(upload(*channel, "upload", {5 << 20}), whole_upload(5 << 20));
  }
}

void contract_client_frozen(const Transport& transport) {
  for (int round = 0; round < 3; ++round) {
    const Ends ends(transport);
    const Process client(transport,
                         {"download", ends.listener->address(), std::to_string(40 << 20)});
    CHECK_EQ(client.first_line(), "sent " + std::to_string(40 << 20));
    std::this_thread::sleep_for(milliseconds(30));
    client.freeze();
    // It is the only one who has to wait.
    check_download(*ends.connect(), 2, {20 << 20});
    CHECK(ends_soon([&] { ends.listener->stop(milliseconds(500)); }));
  }
}

void contract_restart(const Transport& transport) {
  Ends first(transport);
  const auto channel = first.connect();
  CHECK_EQ(ask(*channel, "echo first"), "first");
  Transport same = transport;
  same.address = first.listener->address();
  first.listener->stop(milliseconds(1000));
  CHECK_THROWS(ask(*channel, "echo", milliseconds(1000)), ErrorCode::kUnreachable);
  for (int round = 0; round < 3; ++round) {
    const Ends next(same);
    CHECK_EQ(next.listener->address(), same.address);
    // Nobody waits because it failed before. The first call may meet the old connection's end.
    const auto answers = [&] {
      try {
        return ask(*channel, "echo next") == "next";
      } catch (const StoreException& exception) {
        CHECK_EQ(exception.code(), ErrorCode::kUnreachable);
        return false;
      }
    };
    CHECK(ends_soon([&] { CHECK(answers() || answers()); }));
  }
}

void contract_slow_reader(const Transport& transport) {
  const Ends ends(transport, 1);
  const auto slow = ends.connect();
  const auto fast = ends.connect();
  StalledDownload stalled({40 << 20});
  std::jthread reader([&] {
    CHECK_EQ(download(*slow, download_request(1, {40 << 20}), stalled),
             "sent " + std::to_string(40 << 20));
  });
  stalled.wait_until_stalled();
  for (const auto& channel : {fast, slow}) {
    CHECK_EQ(ask(*channel, "echo fast"), "fast");
    check_download(*channel, 2, {20 << 20});
    CHECK_EQ(upload(*channel, "upload", {20 << 20}), whole_upload(20 << 20));
  }
  stalled.go_on();
  reader.join();
  CHECK(stalled.bytes() == stream_bytes(1, 0, 40 << 20));
}

void contract_stop(const Transport& transport) {
  {
    // What is at work comes to its end.
    const Ends ends(transport);
    std::jthread client([&] { CHECK_EQ(ask(*ends.connect(), "wait"), "released"); });
    CHECK(comes_true([&] { return ends.handler->waiting() == 1; }));
    std::jthread releaser([&] {
      std::this_thread::sleep_for(milliseconds(300));
      ends.handler->release();
    });
    CHECK(ends_soon([&] { ends.listener->stop(kDeadline); }));
    ends.listener->stop(milliseconds(0));  // a second time does nothing
  }
  {
    // Who does not read does not hold it up.
    const Ends ends(transport);
    const auto channel = ends.connect();
    StalledDownload stalled({40 << 20});
    std::jthread reader([&] {
      CHECK_THROWS(download(*channel, download_request(1, {40 << 20}), stalled),
                   ErrorCode::kUnreachable);
    });
    stalled.wait_until_stalled();
    CHECK(ends_soon([&] { ends.listener->stop(milliseconds(500)); }));
    CHECK_THROWS(ask(*channel, "echo", milliseconds(1000)), ErrorCode::kUnreachable);
    stalled.go_on();
  }
}

void contract_many_channels(const Transport& transport) {
  const Ends ends(transport);
  std::vector<std::jthread> threads;
  for (std::uint64_t number = 0; number < 64; ++number) {
    threads.emplace_back([&ends, number] {
      const auto channel = ends.connect();
      const std::string text = std::to_string(number);
      CHECK_EQ(ask(*channel, "echo " + text), text);
      const std::vector<std::size_t> sizes{number, 300'000 + number, 5};
      CHECK_EQ(upload(*channel, "upload", sizes), whole_upload(total(sizes)));
      check_download(*channel, number, sizes);
    });
  }
}

void contract_memory_is_let_go(const Transport& transport) {
  const Ends ends(transport);
  auto channel = ends.connect();
  for (int i = 0; i < 5; ++i) check_download(*channel, 1, {1, 5 << 20, 3}, 1);
  CHECK(comes_true([&] { return ends.handler->held() == 0; }));
  // Also when a client goes away in the middle.
  struct Failing final : TestDownload {
    using TestDownload::TestDownload;
    bool keep(std::uint64_t, const std::shared_ptr<arrow::Buffer>&) override {
      throw StoreException(ErrorCode::kFull, "no room");
    }
  };
  Failing failing({40 << 20});
  CHECK_THROWS(download(*channel, download_request(1, {40 << 20}), failing), ErrorCode::kFull);
  check_download(*channel, 1, {5});
  CHECK(comes_true([&] { return ends.handler->held() == 0; }));
}

}  // namespace parsl_tl::testing
