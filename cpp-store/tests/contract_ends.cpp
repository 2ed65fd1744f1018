#include "contract_ends.hpp"

#include <arrow/buffer.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "random.hpp"

namespace parsl_tl::testing {
namespace {

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::array<int, 2> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  return ends;
}

std::string read_line(int fd) {
  std::string line;
  for (char c = 0; ::read(fd, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

}  // namespace

Ends::Ends(const Transport& transport_, unsigned threads) : transport(transport_) {
  ListenOptions options = transport.listen_options;
  options.address = transport.address;
  options.threads = threads;
  listener = transport.listen(options, handler);
}

std::shared_ptr<Channel> Ends::connect() const {
  return connect_to(transport, listener->address());
}

std::shared_ptr<Channel> connect_to(const Transport& transport, const std::string& address) {
  ConnectOptions options = transport.connect_options;
  options.address = address;
  return transport.connect(options);
}

Process::Process(const Transport& transport, std::vector<std::string> arguments) {
  const auto input = make_pipe();
  const auto output = make_pipe();
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
  arguments.insert(arguments.begin(), transport.server_program);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const int error = ::posix_spawn(&process_, transport.server_program.c_str(), &actions, nullptr,
                                  pointers.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(input[0]);
  ::close(output[1]);
  input_ = input[1];
  output_ = output[0];
  if (error == 0) first_line_ = read_line(output_);
  if (first_line_.empty()) throw std::runtime_error(transport.server_program + " did not start");
}

std::int64_t Process::peak_memory() const {
  std::ifstream status("/proc/" + std::to_string(process_) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return 1024 * std::stoll(line.substr(6));
  }
  throw std::runtime_error("the process has no memory");
}

Process::~Process() {
  kill();
  ::close(input_);
  ::close(output_);
}

void Process::signal(int number) const { ::kill(process_, number); }

void Process::freeze() const {
  signal(SIGSTOP);
  ::waitpid(process_, nullptr, WUNTRACED);
}

void Process::thaw() const { signal(SIGCONT); }

void Process::kill() {
  if (process_ < 0) return;
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
  process_ = -1;
}

TestDownload::TestDownload(const std::vector<std::size_t>& sizes, unsigned keep_every)
    : keep_every_(keep_every) {
  for (const std::size_t size : sizes) {
    memory_.emplace_back(size, 0xAA);
    size_ += size;
  }
  for (Bytes& piece : memory_) pieces_.emplace_back(piece);
}

bool TestDownload::keep(std::uint64_t offset, const std::shared_ptr<arrow::Buffer>& part) {
  if (keep_every_ == 0 || parts_++ % keep_every_ != 0) return false;
  kept_.emplace_back(offset, part);
  return true;
}

Bytes TestDownload::bytes() const {
  Bytes all;
  all.reserve(size_);
  for (const Bytes& piece : memory_) all.insert(all.end(), piece.begin(), piece.end());
  for (const auto& [offset, part] : kept_) {
    std::copy_n(part->data(), part->size(), all.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  return all;
}

bool StalledDownload::keep(std::uint64_t offset, const std::shared_ptr<arrow::Buffer>& part) {
  std::unique_lock lock(mutex_);
  stalled_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return go_on_; });
  return TestDownload::keep(offset, part);
}

void StalledDownload::wait_until_stalled() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return stalled_; });
}

void StalledDownload::go_on() {
  const std::lock_guard lock(mutex_);
  go_on_ = true;
  changed_.notify_all();
}

std::string ask(Channel& channel, const std::string& request, std::chrono::milliseconds timeout) {
  Call call;
  call.request = bytes_of(request);
  call.timeout = timeout;
  return channel.call(call);
}

std::string upload(Channel& channel, const std::string& request,
                   const std::vector<std::size_t>& sizes, std::chrono::milliseconds timeout) {
  std::vector<Bytes> memory;
  std::uint64_t offset = 0;
  for (const std::size_t size : sizes) {
    memory.push_back(stream_bytes(7, offset, size));
    offset += size;
  }
  Call call;
  call.request = bytes_of(request);
  call.timeout = timeout;
  for (const Bytes& piece : memory) call.upload.emplace_back(piece);
  return channel.call(call);
}

std::string whole_upload(std::uint64_t size) {
  StreamSum sum;
  sum.add(stream_bytes(7, 0, size));
  return sum.text();
}

std::string download(Channel& channel, const std::string& request, Download& into,
                     std::chrono::milliseconds timeout) {
  Call call;
  call.request = bytes_of(request);
  call.download = &into;
  call.timeout = timeout;
  return channel.call(call);
}

std::string download_request(std::uint64_t stream, const std::vector<std::size_t>& sizes) {
  std::string request = "download " + std::to_string(stream);
  for (const std::size_t size : sizes) (request += ' ') += std::to_string(size);
  return request;
}

void check_download(Channel& channel, std::uint64_t stream, const std::vector<std::size_t>& sizes,
                    unsigned keep_every) {
  TestDownload into(sizes, keep_every);
  const std::string reply = download(channel, download_request(stream, sizes), into);
  CHECK_EQ(reply, "sent " + std::to_string(into.size()));
  CHECK(into.bytes() == stream_bytes(stream, 0, into.size()));
}

std::vector<std::size_t> mixed_sizes(std::size_t total, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::size_t> sizes;
  for (std::size_t left = total; left > 0;) {
    const std::size_t most = random.chance(0.5) ? 300 : random.chance(0.7) ? 200'000 : 9'000'000;
    const std::size_t size = std::min<std::size_t>(left, random.below(most));
    sizes.push_back(size);
    left -= size;
  }
  return sizes;
}

}  // namespace parsl_tl::testing
