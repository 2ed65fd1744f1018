// What a Thallium server does for clients that do not show the password: nothing but say so.
#include "contract_ends.hpp"
#include "thallium_ends.hpp"
#include "thallium_raw_client.hpp"

namespace parsl_tl::testing {
namespace {

using namespace mochi;
using std::chrono::milliseconds;

constexpr std::int64_t kFewBytes = 8 << 20;
// There is no such memory: whoever fetches it fails.
constexpr RemotePiece kNowhere{4096, 1, 0, kMostMessageBytes};

/// A call whose request, or the list of whose pieces, lies in memory.
Arguments call_with_memory() {
  Arguments arguments;
  arguments.header.client = 1;
  arguments.header.call = 1;
  arguments.header.deadline = std::numeric_limits<std::int64_t>::max();
  arguments.header.request_size = kMostMessageBytes;
  arguments.header.request_pieces = 1;
  arguments.request_memory = {kNowhere};
  return arguments;
}

Arguments call_with_list() {
  Arguments arguments = call_with_memory();
  arguments.header.list_pieces = 1;
  arguments.list_memory = {kNowhere};
  arguments.list_memory[0].size = sizeof(RemotePiece);
  return arguments;
}

std::string beginning(const std::string& password) {
  std::string text = password + " echo ";
  text.resize(kBeginningBytes, 'x');
  return text;
}

void nothing_of_strangers_is_fetched(const char* address) {
  const GuardedProcess server(over_thallium(address), "sesame");
  for (const Arguments& arguments : {call_with_memory(), call_with_list()}) {
    const auto denied =
        RawThalliumClient(server.address()).say(message_of(arguments, beginning("guess")));
    CHECK(denied && denied->outcome == Outcome::kAnswered && denied->reply == "denied");
    // The same is fetched for a friend, and is not there.
    const auto gone = RawThalliumClient(server.address())
                          .say(message_of(arguments, beginning("sesame")), milliseconds(2000));
    CHECK(!gone || gone->outcome == Outcome::kGone);
  }
}

CASE(tcp_nothing_of_strangers_is_fetched) {
  nothing_of_strangers_is_fetched("ofi+tcp://127.0.0.1:0");
}
CASE(sm_nothing_of_strangers_is_fetched) { nothing_of_strangers_is_fetched("na+sm://"); }

/// Messages that Mercury alone would fetch, of whoever sends them.
void long_messages_take_no_memory(const char* address) {
  const Transport transport = over_thallium(address);
  const GuardedProcess server(transport, "sesame");
  const auto channel = connect_to(transport, server.address());
  CHECK_EQ(ask(*channel, "sesame echo here"), "here");
  const std::int64_t before = server.peak_memory();
  RawThalliumClient raw(server.address());
  for (const std::string password : {"guess", "sesame"}) {
    Arguments arguments;
    arguments.header.deadline = std::numeric_limits<std::int64_t>::max();
    const std::string request = password + " echo " + std::string(15 << 20, 'x');
    arguments.header.request_size = request.size();
    std::vector<OutgoingCall> calls;
    for (int i = 0; i < 4; ++i) calls.push_back(raw.begin(message_of(arguments, request)));
    for (OutgoingCall& call : calls) CHECK(!call.wait_until(Clock::now() + milliseconds(100)));
    for (OutgoingCall& call : calls) call.cancel();
  }
  CHECK_EQ(ask(*channel, "sesame echo here"), "here");
  CHECK(server.peak_memory() - before < kFewBytes);
}

CASE(tcp_long_messages_take_no_memory) { long_messages_take_no_memory("ofi+tcp://127.0.0.1:0"); }
CASE(sm_long_messages_take_no_memory) { long_messages_take_no_memory("na+sm://"); }

/// Very many small calls at once of somebody who does not wait for answers.
void many_strangers_take_no_memory(const char* address) {
  const Transport transport = over_thallium(address);
  const GuardedProcess server(transport, "sesame");
  const auto channel = connect_to(transport, server.address());
  CHECK_EQ(ask(*channel, "sesame echo here"), "here");
  const std::int64_t before = server.peak_memory();
  RawThalliumClient raw(server.address());
  std::vector<OutgoingCall> calls;
  const Message message = message_of(call_with_memory(), beginning("guess"));
  for (int i = 0; i < 3000; ++i) calls.push_back(raw.begin(message));
  CHECK_EQ(ask(*channel, "sesame echo here"), "here");
  CHECK(calls.front().wait_until(Clock::now() + kDeadline));
  // Mercury's own pools grow in steps of four megabytes.
  CHECK(server.peak_memory() - before < 2 * kFewBytes);
  for (OutgoingCall& call : calls) call.cancel();
}

CASE(tcp_many_strangers_take_no_memory) { many_strangers_take_no_memory("ofi+tcp://127.0.0.1:0"); }
CASE(sm_many_strangers_take_no_memory) { many_strangers_take_no_memory("na+sm://"); }

}  // namespace
}  // namespace parsl_tl::testing
