// Both ends of a transport under test: a server in this process or in one of its own, and clients
// that make calls and say what they got.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "contract_server.hpp"
#include "transport_contract.hpp"

namespace parsl_tl::testing {

using Bytes = std::vector<std::uint8_t>;

/// A server in this process, and ways to it.
struct Ends {
  explicit Ends(const Transport& transport, unsigned threads = 4);
  std::shared_ptr<Channel> connect() const;

  Transport transport;
  std::shared_ptr<ContractHandler> handler = std::make_shared<ContractHandler>();
  std::shared_ptr<Listener> listener;
};

std::shared_ptr<Channel> connect_to(const Transport& transport, const std::string& address);

/// The program of a transport's tests, running: it can be frozen and killed.
class Process {
 public:
  Process(const Transport& transport, std::vector<std::string> arguments);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// What it has printed first: the address of a server.
  const std::string& first_line() const noexcept { return first_line_; }
  void signal(int number) const;
  void freeze() const;  // returns when it stands still
  void thaw() const;
  void kill();
  /// The most memory that it has had so far, in bytes.
  std::int64_t peak_memory() const;

 private:
  ::pid_t process_ = -1;
  int input_ = -1;
  int output_ = -1;
  std::string first_line_;
};

class ServerProcess : public Process {
 public:
  ServerProcess(const Transport& transport, const std::string& address)
      : Process(transport, {address}) {}
  const std::string& address() const noexcept { return first_line(); }
};

/// A server that lets in who knows the password.
class GuardedProcess : public Process {
 public:
  GuardedProcess(const Transport& transport, const std::string& password)
      : Process(transport, {"guarded", transport.address, password}) {}
  const std::string& address() const noexcept { return first_line(); }
};

/// A download into memory in pieces, or one that keeps the parts that it wants.
class TestDownload : public Download {
 public:
  /// Keeps every part for which `number % keep_every == 0`; none if that is 0.
  explicit TestDownload(const std::vector<std::size_t>& sizes, unsigned keep_every = 0);
  std::uint64_t size() const override { return size_; }
  bool keep(std::uint64_t offset, const std::shared_ptr<arrow::Buffer>& part) override;
  const Pieces& memory() override { return pieces_; }

  /// Everything that came, wherever it lies.
  Bytes bytes() const;
  int kept() const noexcept { return static_cast<int>(kept_.size()); }

 private:
  std::uint64_t size_ = 0;
  unsigned keep_every_;
  unsigned parts_ = 0;
  std::vector<Bytes> memory_;
  Pieces pieces_;
  std::vector<std::pair<std::uint64_t, std::shared_ptr<arrow::Buffer>>> kept_;
};

/// One that stops in its first part until it may go on.
class StalledDownload final : public TestDownload {
 public:
  using TestDownload::TestDownload;
  bool keep(std::uint64_t offset, const std::shared_ptr<arrow::Buffer>& part) override;
  void wait_until_stalled();
  void go_on();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stalled_ = false;
  bool go_on_ = false;
};

constexpr std::chrono::milliseconds kDeadline{120'000};

std::string ask(Channel& channel, const std::string& request,
                std::chrono::milliseconds timeout = kDeadline);
/// Uploads stream number 7 in pieces of these sizes; the memory is gone when this returns.
std::string upload(Channel& channel, const std::string& request,
                   const std::vector<std::size_t>& sizes,
                   std::chrono::milliseconds timeout = kDeadline);
/// What the server replies if it got stream number 7 as a whole.
std::string whole_upload(std::uint64_t size);
std::string download(Channel& channel, const std::string& request, Download& into,
                     std::chrono::milliseconds timeout = kDeadline);
/// Has these pieces sent, and checks every byte.
void check_download(Channel& channel, std::uint64_t stream, const std::vector<std::size_t>& sizes,
                    unsigned keep_every = 0);
std::string download_request(std::uint64_t stream, const std::vector<std::size_t>& sizes);

/// Sizes of pieces as tensors have them: many small ones, some of medium size, few large ones.
std::vector<std::size_t> mixed_sizes(std::size_t total, std::uint64_t seed);

/// Whether a call ends by its own time-out or at once, and not by kDeadline or not at all. The
/// bound is far above what it takes, as tests run on busy machines and under sanitizers.
template <typename Work>
bool ends_soon(Work work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::steady_clock::now() - start < kDeadline / 2;
}

}  // namespace parsl_tl::testing
