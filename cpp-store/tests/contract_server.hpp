// A handler whose requests say what it has to do, for tests of transports; and what tests expect.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "transport.hpp"

namespace parsl_tl::testing {

/// Requests are words, and some have numbers behind them:
///   echo <bytes>              replies with these bytes
///   quick <bytes>             the same, said to be quick
///   upload                    takes everything, replies with size and sum
///   quick-upload              the same, said to be quick
///   upload-some N R           takes N bytes at least, replies with R bytes
///   download S SIZE...        sends pieces of these sizes with the bytes of stream S
///   refuse-download           replies without sending anything
///   send-other N              sends N bytes that nobody expects; replies with the error that
///   follows send-twice N              sends N bytes, then again; replies with the error that
///   follows wait                      waits until it is released
/// With a password, only requests that begin with it and a space are let in; "denied" is said to
/// others.
class ContractHandler final : public Handler {
 public:
  explicit ContractHandler(std::string password = "");

  std::string handle(std::span<const std::uint8_t> request, Exchange& exchange) noexcept override;
  bool admits(std::span<const std::uint8_t> beginning) const noexcept override;
  bool admits_everybody() const noexcept override { return pass_.empty(); }
  bool is_quick(std::span<const std::uint8_t> beginning) const noexcept override;

  void release();
  int waiting() const noexcept { return waiting_; }
  int most_at_once() const noexcept { return most_at_once_; }
  /// Streams that were sent and whose memory is still held.
  int held() const noexcept { return *held_; }

 private:
  std::string answer(const std::string& word, std::span<const std::uint8_t> rest,
                     Exchange& exchange);
  std::string download(std::span<const std::uint8_t> numbers, Exchange& exchange);
  std::string wait();

  const std::string pass_;  // what requests begin with
  std::atomic<int> waiting_ = 0;
  std::atomic<int> at_once_ = 0;
  std::atomic<int> most_at_once_ = 0;
  std::shared_ptr<std::atomic<int>> held_ = std::make_shared<std::atomic<int>>(0);
  std::mutex mutex_;
  std::condition_variable released_;
  bool is_released_ = false;
};

/// `size` bytes of stream number `stream`, from `offset` on.
std::vector<std::uint8_t> stream_bytes(std::uint64_t stream, std::uint64_t offset,
                                       std::size_t size);
/// A sum that tells the bytes and their order.
class StreamSum {
 public:
  void add(std::span<const std::uint8_t> bytes);
  /// What the handler replies to an upload.
  std::string text() const;

 private:
  std::uint64_t size_ = 0;
  std::uint64_t sum_ = 0xCBF29CE484222325U;
};

}  // namespace parsl_tl::testing
