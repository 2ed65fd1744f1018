// What a Thallium server makes of arguments that are none, and of memory that is not there.
#include <cstring>

#include "contract_ends.hpp"
#include "random.hpp"
#include "thallium_ends.hpp"
#include "thallium_raw_client.hpp"

namespace parsl_tl::testing {
namespace {

using namespace mochi;
using std::chrono::milliseconds;

Arguments some_arguments() {
  Arguments arguments;
  arguments.header.call = 7;
  arguments.header.deadline = std::numeric_limits<std::int64_t>::max();
  arguments.header.request_size = 6;
  arguments.header.upload_size = 300;
  arguments.header.upload_pieces = 2;
  arguments.header.download_size = 5000;
  arguments.header.download_pieces = 1;
  arguments.upload_memory = {{4096, 1, 8, 100}, {8192, 2, 0, 200}};
  arguments.download_memory = {{1 << 20, 3, 0, 5000}};
  return arguments;
}

CASE(messages_decode) {
  const Message message = message_of(some_arguments(), "upload");
  const auto found = decode_arguments(message);
  CHECK(found.has_value());
  if (!found) return;
  CHECK_EQ(std::string(found->request.begin(), found->request.end()), "upload");
  CHECK_EQ(found->upload_memory.size(), 2U);
  CHECK_EQ(found->upload_memory[1].address, 8192U);
  CHECK_EQ(found->download_memory[0].size, 5000U);
}

CASE(messages_refuse_what_is_none) {
  const Message message = message_of(some_arguments(), "upload");
  for (std::size_t size = 0; size < message.size(); ++size) {
    CHECK(!decode_arguments(mochi::Bytes(message).first(size)));
  }
  Message longer = message;
  longer.push_back(0);
  CHECK(!decode_arguments(longer));

  const auto is_refused = [](auto change) {
    Arguments arguments = some_arguments();
    change(arguments);
    return !decode_arguments(message_of(arguments, "upload"));
  };
  CHECK(is_refused([](Arguments& a) { a.header.magic ^= 1; }));
  CHECK(is_refused([](Arguments& a) { a.header.version += 1; }));
  CHECK(is_refused([](Arguments& a) { a.header.version = 0; }));
  CHECK(is_refused([](Arguments& a) { a.header.request_size = 1ULL << 60; }));
  CHECK(is_refused([](Arguments& a) { a.header.request_size = kMostMessageBytes + 1; }));
  CHECK(is_refused([](Arguments& a) { a.header.upload_pieces = 0xFFFFFFFF; }));
  CHECK(is_refused([](Arguments& a) { a.header.upload_pieces = 1; }));
  CHECK(is_refused([](Arguments& a) { a.header.upload_size = 301; }));
  CHECK(is_refused([](Arguments& a) { a.header.upload_size = 299; }));
  CHECK(is_refused([](Arguments& a) { a.upload_memory[0].address = 0; }));
  CHECK(is_refused([](Arguments& a) { a.upload_memory[0].size = 0; }));
  CHECK(is_refused([](Arguments& a) { a.upload_memory[0].size = ~0ULL - 99; }));
  CHECK(is_refused([](Arguments& a) { a.upload_memory[0].offset = ~0ULL; }));
  CHECK(is_refused([](Arguments& a) {
    a.header.download_pieces = 0;
    a.download_memory.clear();
    a.header.download_size = kMostDownloadInAnswer + 1;
  }));
}

CASE(messages_with_a_list_of_pieces_elsewhere) {
  Arguments arguments = some_arguments();
  const std::string list = encode_pieces(arguments);
  arguments.header.list_pieces = 1;
  arguments.list_memory = {{4096, 1, 0, list.size()}};
  auto found = decode_arguments(message_of(arguments, "upload"));
  CHECK(found.has_value());
  if (!found) return;
  CHECK(found->upload_memory.empty() && found->download_memory.empty());
  CHECK(!decode_pieces(bytes_of(list + "x"), *found));
  CHECK(!decode_pieces(bytes_of(list).first(list.size() - 1), *found));
  CHECK(decode_pieces(bytes_of(list), *found));
  CHECK_EQ(found->upload_memory[1].address, 8192U);

  const auto is_refused = [&](auto change) {
    Arguments other = arguments;
    change(other);
    return !decode_arguments(message_of(other, "upload"));
  };
  CHECK(is_refused([](Arguments& a) { a.list_memory[0].size -= 1; }));
  CHECK(is_refused([](Arguments& a) { a.header.upload_pieces = 0xFFFFFFFF; }));
  CHECK(is_refused([](Arguments& a) { a.header.list_pieces = 2; }));
  CHECK(is_refused([](Arguments& a) {
    a.header.upload_pieces = a.header.download_pieces = 0;
    a.header.upload_size = a.header.download_size = 0;
    a.list_memory[0].size = 0;
  }));
}

CASE(messages_with_the_beginning_of_a_request) {
  Arguments arguments;
  arguments.header.request_size = 5000;
  arguments.header.request_pieces = 1;
  arguments.request_memory = {{4096, 1, 0, 5000}};
  const std::string beginning(kBeginningBytes, 'b');
  const auto found = decode_arguments(message_of(arguments, beginning));
  CHECK(found.has_value() && found->request.size() == kBeginningBytes);
  CHECK(!decode_arguments(message_of(arguments, "")));
  CHECK(!decode_arguments(message_of(arguments, beginning + "b")));
}

CASE(messages_of_random_bytes) {
  Random random(1);
  const Message good = message_of(some_arguments(), "upload");
  for (int i = 0; i < 100'000; ++i) {
    Message bytes = good;
    for (std::uint64_t changes = 1 + random.below(8); changes > 0; --changes) {
      bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random());
    }
    const auto found = decode_arguments(bytes);
    if (found) CHECK(found->request.size() + found->upload.size() <= bytes.size());
    try {
      decode_answer(bytes);
    } catch (const StoreException& error) {  // an answer of another version
      CHECK_EQ(error.code(), ErrorCode::kFormat);
    }
  }
}

void garbage_is_refused(const char* address) {
  const Ends ends(over_thallium(address), 2);
  const auto channel = ends.connect();
  RawThalliumClient raw(ends.listener->address());
  Random random(2);
  for (const std::size_t size : {0UL, 1UL, 7UL, 71UL, 72UL, 4000UL}) {
    CHECK(raw.is_refused(random.bytes(size)));
  }
  const Message good = message_of(some_arguments(), "upload");
  for (std::size_t size = 0; size < good.size(); size += 11) {
    CHECK(raw.is_refused(Message(good.begin(), good.begin() + static_cast<long>(size))));
  }
  CHECK_EQ(ask(*channel, "echo after"), "after");
}

CASE(tcp_garbage) { garbage_is_refused("ofi+tcp://127.0.0.1:0"); }
CASE(sm_garbage) { garbage_is_refused("na+sm://"); }

/// What lies about memory that it lays open loses its connection, if the network sees to that, and
/// harms nobody else.
void memory_that_is_not_there(const char* address) {
  const Ends ends(over_thallium(address), 2);
  const auto channel = ends.connect();
  const std::string unreachable = "error " + std::to_string(int(ErrorCode::kUnreachable));
  const std::vector<RemotePiece> lies{
      {1, 1, 0, 300},          {8192, 99, 0, 300},          {~0ULL - 500, 1, 0, 300},
      {1ULL << 47, 1, 0, 300}, {4096, ~0ULL, 1 << 30, 300}, {4096, 0, 1ULL << 40, 300}};
  for (const RemotePiece& lie : lies) {
    const auto arguments = [&](const std::string& request) {
      Arguments made;
      made.header.deadline = nanos(Clock::now() + milliseconds(20'000));
      made.header.request_size = request.size();
      return made;
    };
    const auto say = [&](const Arguments& made, const std::string& request) {
      return RawThalliumClient(ends.listener->address())
          .say(message_of(made, request), milliseconds(700));
    };
    Arguments upload = arguments("upload");
    upload.header.upload_size = 300;
    upload.header.upload_pieces = 1;
    upload.upload_memory = {lie};
    if (const auto said = say(upload, "upload")) CHECK(said->reply.starts_with(unreachable));

    Arguments download = arguments("download 1 300");
    download.header.download_size = 300;
    download.header.download_pieces = 1;
    download.download_memory = {lie};
    if (const auto said = say(download, "download 1 300")) {
      CHECK(said->reply.starts_with(unreachable));
    }

    Arguments request = arguments(std::string(300, ' '));
    request.header.request_pieces = 1;
    request.request_memory = {lie};
    const std::string beginning(kBeginningBytes, ' ');
    if (const auto said = say(request, beginning)) CHECK(said->outcome == Outcome::kGone);

    Arguments list = arguments(std::string(300, ' '));
    list.header.request_pieces = 1;
    list.header.list_pieces = 1;
    list.list_memory = {lie};
    list.list_memory[0].size = sizeof(RemotePiece);
    if (const auto said = say(list, beginning)) CHECK(said->outcome == Outcome::kGone);
    CHECK_EQ(ask(*channel, "echo after"), "after");
  }
  check_download(*channel, 2, {5 << 20});
  CHECK(ends_soon([&] { ends.listener->stop(milliseconds(500)); }));
}

CASE(tcp_memory_that_is_not_there) { memory_that_is_not_there("ofi+tcp://127.0.0.1:0"); }
CASE(sm_memory_that_is_not_there) { memory_that_is_not_there("na+sm://"); }

}  // namespace
}  // namespace parsl_tl::testing
