// A server or a client in a process of its own.
#include <cstdio>
#include <string_view>

#include "contract_server.hpp"
#include "transport_contract.hpp"

namespace parsl_tl::testing {
namespace {

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

int serve(const Transport& transport, const char* address, const char* password = "") {
  ListenOptions options = transport.listen_options;
  options.address = address;
  const auto listener = transport.listen(options, std::make_shared<ContractHandler>(password));
  say(listener->address());
  while (std::getchar() != EOF) {
  }
  return 0;
}

/// Takes everything into one piece of memory.
class Into final : public Download {
 public:
  explicit Into(std::vector<std::uint8_t>& memory) : pieces_{memory} {}
  std::uint64_t size() const override { return size_of(pieces_); }
  bool keep(std::uint64_t, const std::shared_ptr<arrow::Buffer>&) override { return false; }
  const Pieces& memory() override { return pieces_; }

 private:
  Pieces pieces_;
};

int download_until_killed(const Transport& transport, const char* address, const char* bytes) {
  ConnectOptions options = transport.connect_options;
  options.address = address;
  const auto channel = transport.connect(options);
  const std::string request = std::string("download 1 ") + bytes;
  std::vector<std::uint8_t> memory(std::stoull(bytes));
  while (true) {
    Into into(memory);
    Call call;
    call.request = {reinterpret_cast<const std::uint8_t*>(request.data()), request.size()};
    call.download = &into;
    say(channel->call(call));
  }
}

}  // namespace

int contract_program(const Transport& transport, int argc, char** argv) {
  if (argc == 2) return serve(transport, argv[1]);
  if (argc == 4 && argv[1] == std::string_view("guarded")) {
    return serve(transport, argv[2], argv[3]);
  }
  if (argc == 4 && argv[1] == std::string_view("download")) {
    return download_until_killed(transport, argv[2], argv[3]);
  }
  return 2;
}

}  // namespace parsl_tl::testing
