// Measures the Thallium transport beside Thallium alone: thallium_speed ADDRESS, once for each kind
// of address. Servers are processes of their own: this program again, with another first argument.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "bare_thallium.hpp"
#include "thallium_transport.hpp"

namespace parsl_tl {
namespace {

using Memory = std::vector<std::uint8_t>;

/// Takes uploads, sends as many bytes as are asked for.
class SpeedHandler final : public Handler {
 public:
  std::string handle(std::span<const std::uint8_t> request, Exchange& exchange) noexcept override {
    if (!request.empty()) {
      std::uint64_t size = 0;
      std::memcpy(&size, request.data(), std::min(sizeof(size), request.size()));
      exchange.send({std::span(*memory_).first(size)}, memory_);
    } else {
      while (!exchange.take().empty()) {
      }
    }
    return "";
  }

 private:
  const std::shared_ptr<Memory> memory_ = std::make_shared<Memory>(256 << 20, 1);
};

class MemoryDownload final : public Download {
 public:
  explicit MemoryDownload(std::span<std::uint8_t> memory) : pieces_{memory} {}
  std::uint64_t size() const override { return pieces_[0].size(); }
  bool keep(std::uint64_t, const std::shared_ptr<arrow::Buffer>&) override { return false; }
  const Pieces& memory() override { return pieces_; }

 private:
  Pieces pieces_;
};

void wait_for_end_of_input() {
  while (std::getchar() != EOF) {
  }
}

int serve(const std::string& kind, const std::string& address) {
  if (kind == "bare") {
    BareThalliumServer server(address);
    std::printf("%s\n", server.address().c_str());
    std::fflush(stdout);
    wait_for_end_of_input();
  } else {
    ListenOptions options;
    options.address = address;
    const auto listener = listen_thallium(options, std::make_shared<SpeedHandler>());
    std::printf("%s\n", listener->address().c_str());
    std::fflush(stdout);
    wait_for_end_of_input();
  }
  return 0;
}

struct Server {
  ::pid_t process = -1;
  int input = -1;
  std::string address;

  Server(const char* program, const char* kind, const char* at) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) return;
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    std::array<char*, 4> arguments{const_cast<char*>(program), const_cast<char*>(kind),
                                   const_cast<char*>(at), nullptr};
    ::posix_spawn(&process, program, &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    input = in[1];
    for (char c = 0; ::read(out[0], &c, 1) == 1 && c != '\n';) address += c;
    ::close(out[0]);
  }
  ~Server() {
    ::close(input);
    ::waitpid(process, nullptr, 0);
  }
};

double quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

struct Measured {
  const char* name;
  std::uint64_t bytes;
  int rounds;
  std::function<double()> bare;
  std::function<double()> ours;
};

void measure(const Measured& what) {
  std::vector<double> bare;
  std::vector<double> ours;
  for (int i = 0; i < what.rounds + 3; ++i) {  // in turns, so that both see the same machine
    bare.push_back(what.bare());
    ours.push_back(what.ours());
  }
  bare.erase(bare.begin(), bare.begin() + 3);
  ours.erase(ours.begin(), ours.begin() + 3);
  // The median, and what the machine can do while nothing else runs on it.
  std::printf("%-4s %4llu MiB", what.name, static_cast<unsigned long long>(what.bytes >> 20));
  for (const double part : {0.5, 0.1}) {
    const double b = quantile(bare, part);
    const double o = quantile(ours, part);
    const double mib = static_cast<double>(what.bytes) / (1 << 20);
    std::printf(what.bytes == 0 ? "  p%.0f: bare %6.1f us,    ours %6.1f us,    %.2f"
                                : "  p%.0f: bare %6.0f MiB/s, ours %6.0f MiB/s, %.2f",
                part * 100, what.bytes == 0 ? b * 1e6 : mib / b,
                what.bytes == 0 ? o * 1e6 : mib / o, b / o);
  }
  std::printf("\n");
  std::fflush(stdout);
}

template <typename Work>
double seconds_of(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void compare(const char* program, const char* address) {
  const Server bare_server(program, "bare", address);
  const Server server(program, "ours", address);
  BareThalliumClient bare(bare_server.address);
  ConnectOptions options;
  options.address = server.address;
  const auto channel = connect_thallium(options);
  measure({"rpc", 0, 3000, [&] { return bare.rpc(); },
           [&] { return seconds_of([&] { channel->call(Call{}); }); }});
  for (const std::uint64_t size : {1UL << 20, 16UL << 20, 256UL << 20}) {
    Memory memory(size, 2);
    const int rounds = static_cast<int>(std::max<std::uint64_t>((1UL << 30) / size, 8));
    measure({"put", size, rounds, [&] { return bare.put(memory); },
             [&] {
               Call call;
               call.upload = {std::span<const std::uint8_t>(memory)};
               return seconds_of([&] { channel->call(call); });
             }});
    measure({"get", size, rounds, [&] { return bare.get(size); },
             [&] {
               MemoryDownload download(memory);
               Call call;
               call.request = {reinterpret_cast<const std::uint8_t*>(&size), sizeof(size)};
               call.download = &download;
               return seconds_of([&] { channel->call(call); });
             }});
  }
}

}  // namespace
}  // namespace parsl_tl

int main(int argc, char** argv) {
  if (argc == 3) return parsl_tl::serve(argv[1], argv[2]);
  if (argc != 2) return 2;
  std::printf("%s\n", argv[1]);
  parsl_tl::compare(argv[0], argv[1]);
  return 0;
}
