// Two releases that do not understand each other, over Thallium: each side says so.
#include <cstring>

#include "contract_ends.hpp"
#include "thallium_ends.hpp"
#include "thallium_raw_client.hpp"

namespace parsl_tl::testing {
namespace {

using namespace mochi;

/// What is thrown, or nothing.
template <typename Work>
std::string error_of(Work work, ErrorCode code) {
  try {
    work();
  } catch (const StoreException& error) {
    CHECK_EQ(error.code(), code);
    return error.what();
  }
  return "";
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A server of another release answers whatever it gets like this.
template <int version>
void answer_in_another_version(hg_handle_t raw) {
  const Handle handle(raw);
  Answer answer;
  answer.header.outcome = Outcome::kRefused;
  answer.header.version = version;
  const std::string head = encode_head(answer);
  Outgoing outgoing{{bytes_of(head)}};
  margo_respond(raw, &outgoing);
}
void answer_in_a_newer_one(hg_handle_t raw) { answer_in_another_version<kMessageVersion + 1>(raw); }
void answer_in_an_older_one(hg_handle_t raw) { answer_in_another_version<0>(raw); }
DEFINE_MARGO_RPC_HANDLER(answer_in_a_newer_one)
DEFINE_MARGO_RPC_HANDLER(answer_in_an_older_one)

void server_of_another_version(hg_rpc_cb_t handler, int version) {
  const auto server = Instance::start("na+sm://", Role::kServer);
  margo_provider_register_name(server->margo(), kRpcName, process_message, process_message, handler,
                               0, ABT_POOL_NULL);
  const std::string address = server->engine().self();
  ConnectOptions options;
  options.address = address;
  const auto channel = connect_thallium(options);
  for (int i = 0; i < 2; ++i) {  // the next call says it again
    const std::string text = error_of([&] { ask(*channel, "echo here"); }, ErrorCode::kFormat);
    CHECK(says(text, address));
    CHECK(says(text, "the server speaks version " + std::to_string(version)));
    CHECK(says(text, "this client version " + std::to_string(kMessageVersion)));
    CHECK(says(text, "install the same parsl_tl on both sides"));
  }
}

CASE(sm_server_of_a_newer_version) {
  server_of_another_version(_handler_for_answer_in_a_newer_one, kMessageVersion + 1);
}
CASE(sm_server_of_a_release_without_version) {
  server_of_another_version(_handler_for_answer_in_an_older_one, 0);
}

void client_of_another_version(const char* address) {
  const Ends ends(over_thallium(address), 2);
  const auto channel = ends.connect();
  RawThalliumClient raw(ends.listener->address());
  for (const int version : {0, kMessageVersion + 1}) {
    Arguments arguments;
    arguments.header.version = static_cast<std::uint16_t>(version);
    arguments.header.deadline = std::numeric_limits<std::int64_t>::max();
    arguments.header.request_size = 9;
    CHECK(raw.is_refused(message_of(arguments, "echo here")));
    arguments.header.version = kMessageVersion;
    CHECK(!raw.is_refused(message_of(arguments, "echo here")));
  }
  CHECK_EQ(ask(*channel, "echo after"), "after");
}

CASE(tcp_client_of_another_version) { client_of_another_version("ofi+tcp://127.0.0.1:0"); }
CASE(sm_client_of_another_version) { client_of_another_version("na+sm://"); }

}  // namespace
}  // namespace parsl_tl::testing
