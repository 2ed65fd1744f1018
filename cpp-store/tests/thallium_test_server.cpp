// The other process of tests of the Thallium transport: a server to be killed, or, with a word
// before the address, a client that does what the word says.
#include <cstdio>
#include <thread>
#include <vector>

#include "contract_server.hpp"
#include "errors.hpp"
#include "thallium_ends.hpp"

namespace parsl_tl::testing {
namespace {

std::shared_ptr<Channel> connect(const std::string& address) {
  ConnectOptions options;
  options.address = address;
  return connect_thallium(options);
}

std::string ask(Channel& channel, const std::string& request, ConstPieces upload = {}) {
  Call call;
  call.request = {reinterpret_cast<const std::uint8_t*>(request.data()), request.size()};
  call.upload = std::move(upload);
  return channel.call(call);
}

/// Uploads on and on, until it is killed or the server is gone. Says when it begins.
int upload_forever(const std::string& address) {
  const auto channel = connect(address);
  const std::vector<std::uint8_t> memory(256 << 20, 1);
  std::printf("ready\n");
  std::fflush(stdout);
  try {
    for (;;) ask(*channel, "upload-some 4000000000 0", {std::span(memory)});
  } catch (const StoreException&) {
    return 0;
  }
}

/// Ends while a server, a client and a call are at work, and nobody tidies up.
int leave(const std::string& address) {
  const auto handler = std::make_shared<ContractHandler>();
  ListenOptions options;
  options.address = address;
  const auto& listener = *new std::shared_ptr<Listener>(listen_thallium(options, handler));
  const auto& channel = *new std::shared_ptr<Channel>(connect(listener->address()));
  if (ask(*channel, "echo here") != "here") return 1;
  std::thread([&channel] {
    try {
      ask(*channel, "wait");
    } catch (const StoreException&) {
      // The process is ending.
    }
  }).detach();
  while (handler->waiting() == 0) std::this_thread::yield();
  std::printf("done\n");
  return 0;
}

}  // namespace
}  // namespace parsl_tl::testing

int main(int argc, char** argv) {
  using namespace parsl_tl::testing;
  if (argc == 3 && std::string(argv[1]) == "upload") return upload_forever(argv[2]);
  if (argc == 3 && std::string(argv[1]) == "leave") return leave(argv[2]);
  return contract_program(over_thallium(""), argc, argv);
}
