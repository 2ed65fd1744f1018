// Thallium's processes: servers and clients that are killed, stopped, forked, or end in the middle.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "contract_ends.hpp"
#include "thallium_ends.hpp"

namespace parsl_tl::testing {
namespace {

using std::chrono::milliseconds;

constexpr const char* kTcp = "ofi+tcp://127.0.0.1:0";
constexpr const char* kSm = "na+sm://";

/// A run of the helper program.
class Program {
 public:
  Program(const char* word, const std::string& address) {
    std::array<int, 2> output{};
    if (::pipe2(output.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    const std::string program = beside_this_program("thallium_test_server");
    process_ = ::fork();
    if (process_ == 0) {
      ::dup2(output[1], STDOUT_FILENO);
      ::dup2(output[1], STDERR_FILENO);
      ::execl(program.c_str(), program.c_str(), word, address.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(output[1]);
    output_ = output[0];
  }
  ~Program() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      ::waitpid(process_, nullptr, 0);
    }
    ::close(output_);
  }

  void signal(int number) const { ::kill(process_, number); }
  std::string line() const {
    std::string line;
    for (char c = 0; ::read(output_, &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }
  /// Its status, when it ends by itself.
  int wait() {
    int status = -1;
    ::waitpid(process_, &status, 0);
    process_ = -1;
    return status;
  }
  std::string rest() const {
    std::string all;
    for (char c = 0; ::read(output_, &c, 1) == 1;) all += c;
    return all;
  }

 private:
  ::pid_t process_ = -1;
  int output_ = -1;
};

void calls_end_when_the_server_is_killed(const char* address) {
  const Transport transport = over_thallium(address);
  using Work = std::function<void(Channel&)>;
  const std::vector<Work> works{
      [](Channel& channel) { ask(channel, "wait", milliseconds(2000)); },
      [](Channel& channel) {
        for (;;) ask(channel, "echo x", milliseconds(2000));
      },
      [](Channel& channel) {
        for (;;) upload(channel, "upload-some 100000000 0", {64 << 20}, milliseconds(2000));
      },
      [](Channel& channel) {
        for (;;) {
          TestDownload into({64 << 20});
          download(channel, download_request(1, {64 << 20}), into, milliseconds(2000));
        }
      }};
  for (const Work& work : works) {
    ServerProcess server(transport, address);
    const auto channel = connect_to(transport, server.address());
    CHECK_EQ(ask(*channel, "echo here"), "here");
    std::atomic<bool> is_killed{false};
    std::jthread killer([&] {
      std::this_thread::sleep_for(milliseconds(300));
      server.kill();
      is_killed = true;
    });
    CHECK(ends_soon([&] { CHECK_THROWS(work(*channel), ErrorCode::kUnreachable); }));
    CHECK(is_killed);
  }
}

CASE(tcp_server_dies) { calls_end_when_the_server_is_killed(kTcp); }
CASE(sm_server_dies) { calls_end_when_the_server_is_killed(kSm); }

CASE(tcp_server_comes_back) {
  const Transport transport = over_thallium(kTcp);
  auto server = std::make_unique<ServerProcess>(transport, kTcp);
  const std::string address = server->address();
  const auto channel = connect_to(transport, address);
  CHECK_EQ(ask(*channel, "echo here"), "here");
  for (int round = 0; round < 3; ++round) {
    server->kill();
    CHECK_THROWS(ask(*channel, "echo gone", milliseconds(500)), ErrorCode::kUnreachable);
    server = std::make_unique<ServerProcess>(transport, address);
    CHECK_EQ(ask(*channel, "echo again", milliseconds(5000)), "again");
    CHECK_EQ(upload(*channel, "upload", {5 << 20}), whole_upload(5 << 20));
    check_download(*channel, 2, {5 << 20});
  }
}

/// Downloads until that fails, and gives back the memory filled with one byte.
void download_until_it_fails(Channel& channel, TestDownload& into, milliseconds timeout) {
  CHECK(ends_soon([&] {
    CHECK_THROWS(
        [&] {
          for (;;) download(channel, download_request(1, {into.size()}), into, timeout);
        }(),
        ErrorCode::kUnreachable);
  }));
  const std::span<std::uint8_t> memory = into.memory()[0];
  std::fill(memory.begin(), memory.end(), 0x55);
}

/// A server that is stopped in the middle of calls and goes on after them: the callers' memory is
/// their own again.
void memory_is_left_alone(const char* address) {
  const Transport transport = over_thallium(address);
  ServerProcess server(transport, address);
  const auto channel = connect_to(transport, server.address());
  const auto idle = connect_to(transport, server.address());
  constexpr std::size_t kSize = 64 << 20;
  for (int round = 0; round < 8; ++round) {
    CHECK_EQ(ask(*channel, "echo here"), "here");
    CHECK_EQ(ask(*idle, "echo here"), "here");
    std::vector<std::unique_ptr<TestDownload>> downloads;
    for (int i = 0; i < 1 + round % 3; ++i) {
      downloads.push_back(std::make_unique<TestDownload>(std::vector{kSize}));
    }
    {
      std::vector<std::jthread> threads;
      for (const auto& into : downloads) {
        threads.emplace_back([&channel, &into, timeout = milliseconds(500 + 50 * threads.size())] {
          download_until_it_fails(*channel, *into, timeout);
        });
      }
      std::this_thread::sleep_for(milliseconds(20 + 15 * round));
      server.signal(SIGSTOP);
    }
    server.signal(SIGCONT);
    std::this_thread::sleep_for(milliseconds(100));
    for (const auto& into : downloads) {
      const std::span<std::uint8_t> memory = into->memory()[0];
      CHECK_EQ(std::count(memory.begin(), memory.end(), 0x55), memory.end() - memory.begin());
    }
  }
  check_download(*channel, 2, {5 << 20});
}

CASE(tcp_memory_is_left_alone) { memory_is_left_alone(kTcp); }
CASE(sm_memory_is_left_alone) { memory_is_left_alone(kSm); }

/// Clients that stop or die in the middle of an upload hold up nobody.
void stalled_clients_hold_up_nobody(const char* address) {
  const Ends ends(over_thallium(address), 2);
  std::vector<std::unique_ptr<Program>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<Program>("upload", ends.listener->address()));
    CHECK_EQ(clients.back()->line(), "ready");
  }
  std::this_thread::sleep_for(milliseconds(200));
  for (const auto& client : clients) client->signal(SIGSTOP);
  const auto channel = ends.connect();
  for (int round = 0; round < 3; ++round) {
    CHECK(ends_soon([&] { CHECK_EQ(ask(*channel, "echo x"), "x"); }));
    CHECK(
        ends_soon([&] { CHECK_EQ(upload(*channel, "upload", {5 << 20}), whole_upload(5 << 20)); }));
    check_download(*channel, 2, {5 << 20});
  }
  clients[0]->signal(SIGCONT);
  clients.clear();
  CHECK_EQ(ask(*channel, "echo y"), "y");
  CHECK(ends_soon([&] { ends.listener->stop(milliseconds(500)); }));
}

CASE(tcp_clients_stall) { stalled_clients_hold_up_nobody(kTcp); }
CASE(sm_clients_stall) { stalled_clients_hold_up_nobody(kSm); }

/// The status of a child that does this.
template <typename Work>
int status_of_child(Work work) {
  const ::pid_t child = ::fork();
  if (child == 0) {
    int status = 1;
    try {
      status = work() ? 0 : 2;
    } catch (...) {
    }
    ::_exit(status);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void children_connect_anew(const char* address) {
  const Transport transport = over_thallium(address);
  ServerProcess server(transport, address);
  const auto channel = connect_to(transport, server.address());
  CHECK_EQ(ask(*channel, "echo parent"), "parent");
  const auto use = [&] {
    return ask(*channel, "echo child", milliseconds(3000)) == "child" &&
           upload(*channel, "upload", {5 << 20}) == whole_upload(5 << 20) &&
           ask(*connect_to(transport, server.address()), "echo new", milliseconds(3000)) == "new";
  };
  CHECK_EQ(status_of_child(use), 0);
  CHECK_EQ(ask(*channel, "echo parent"), "parent");
  // A grandchild, of a child that has its own connection.
  CHECK_EQ(status_of_child([&] { return use() && status_of_child(use) == 0 && use(); }), 0);
  CHECK_EQ(ask(*channel, "echo parent"), "parent");
}

/// Children that end as programs do, with all that is registered for it.
void children_exit(const char* address) {
  const Ends ends(over_thallium(address));
  const auto channel = ends.connect();
  CHECK_EQ(ask(*channel, "echo parent"), "parent");
  const auto exits = [](auto work) {
    return ends_soon(
        [&] { CHECK_EQ(status_of_child([&]() -> bool { ::exit(work() ? 0 : 1); }), 0); });
  };
  CHECK(exits([] { return true; }));
  CHECK(exits([&] { return ask(*channel, "echo child", milliseconds(3000)) == "child"; }));
  CHECK_EQ(ask(*channel, "echo parent"), "parent");
}

CASE(tcp_children_exit) { children_exit(kTcp); }
CASE(sm_children_exit) { children_exit(kSm); }
CASE(tcp_fork) { children_connect_anew(kTcp); }
CASE(sm_fork) { children_connect_anew(kSm); }

void programs_end_quietly(const char* address) {
  Program program("leave", address);
  CHECK_EQ(program.line(), "done");
  CHECK(ends_soon([&] { CHECK_EQ(program.wait(), 0); }));
  CHECK_EQ(program.rest(), "");
}

CASE(tcp_exit) { programs_end_quietly(kTcp); }
CASE(sm_exit) { programs_end_quietly(kSm); }

}  // namespace
}  // namespace parsl_tl::testing
