#include "contract_server.hpp"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "errors.hpp"

namespace parsl_tl::testing {
namespace {

std::uint64_t word_of_stream(std::uint64_t stream, std::uint64_t index) {
  std::uint64_t z = (stream * 0x9E3779B97F4A7C15U) ^ (index * 0xBF58476D1CE4E5B9U);
  z = (z ^ (z >> 29)) * 0x94D049BB133111EBU;
  return z ^ (z >> 32);
}

std::string to_text(std::span<const std::uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::vector<std::uint8_t> stream_bytes(std::uint64_t stream, std::uint64_t offset,
                                       std::size_t size) {
  const std::size_t skipped = offset % 8;
  std::vector<std::uint8_t> bytes(skipped + size + 8);
  for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    const std::uint64_t word = word_of_stream(stream, (offset + i) / 8);
    std::memcpy(bytes.data() + i, &word, sizeof word);
  }
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(skipped));
  bytes.resize(size);
  return bytes;
}

void StreamSum::add(std::span<const std::uint8_t> bytes) {
  for (const std::uint8_t byte : bytes) sum_ = (sum_ ^ byte) * 0x100000001B3U;
  size_ += bytes.size();
}

std::string StreamSum::text() const { return std::to_string(size_) + " " + std::to_string(sum_); }

ContractHandler::ContractHandler(std::string password)
    : pass_(password.empty() ? "" : password + " ") {}

bool ContractHandler::admits(std::span<const std::uint8_t> beginning) const noexcept {
  return beginning.size() >= pass_.size() &&
         std::equal(pass_.begin(), pass_.end(), beginning.begin());
}

bool ContractHandler::is_quick(std::span<const std::uint8_t> beginning) const noexcept {
  return admits(beginning) && to_text(beginning.subspan(pass_.size())).starts_with("quick");
}

std::string ContractHandler::handle(std::span<const std::uint8_t> request,
                                    Exchange& exchange) noexcept {
  if (!admits(request)) return "denied";
  request = request.subspan(pass_.size());
  const int now = ++at_once_;
  for (int most = most_at_once_; now > most && !most_at_once_.compare_exchange_weak(most, now);) {
  }
  const auto space = std::find(request.begin(), request.end(), ' ');
  const auto word = to_text({request.begin(), space});
  const auto rest = request.subspan(std::min(word.size() + 1, request.size()));
  std::string reply;
  try {
    reply = answer(word, rest, exchange);
  } catch (const StoreException& error) {
    reply = "error " + std::to_string(static_cast<int>(error.code())) + " " + error.what();
  } catch (const std::exception& error) {
    reply = std::string("unexpected ") + error.what();
  }
  --at_once_;
  return reply;
}

std::string ContractHandler::answer(const std::string& word, std::span<const std::uint8_t> rest,
                                    Exchange& exchange) {
  if (word == "echo" || word == "quick") return to_text(rest);
  if (word == "download") return download(rest, exchange);
  if (word == "wait") return wait();
  if (word == "refuse-download") return "refused";
  if (word == "upload" || word == "quick-upload") {
    StreamSum sum;
    for (auto part = exchange.take(); !part.empty(); part = exchange.take()) sum.add(part);
    if (!exchange.take().empty()) return "there is something behind the end";
    return sum.text();
  }
  std::istringstream numbers(to_text(rest));
  std::uint64_t count = 0;
  numbers >> count;
  if (word == "upload-some") {
    std::size_t reply_bytes = 0;
    numbers >> reply_bytes;
    for (std::uint64_t taken = 0; taken < count;) {
      const auto part = exchange.take();
      if (part.empty()) break;
      taken += part.size();
    }
    return std::string(reply_bytes, 'r');
  }
  if (word == "send-other" || word == "send-twice") {
    const auto bytes = std::make_shared<std::vector<std::uint8_t>>(stream_bytes(1, 0, count));
    exchange.send({std::span(*bytes)}, bytes);
    if (word == "send-twice") exchange.send({std::span(*bytes)}, bytes);
    return "sent";
  }
  return "unknown word " + word;
}

std::string ContractHandler::download(std::span<const std::uint8_t> numbers_text,
                                      Exchange& exchange) {
  std::istringstream numbers(to_text(numbers_text));
  std::uint64_t stream = 0;
  numbers >> stream;
  std::vector<std::size_t> sizes;
  for (std::size_t size = 0; numbers >> size;) sizes.push_back(size);

  struct Memory {
    std::vector<std::vector<std::uint8_t>> pieces;
    std::shared_ptr<std::atomic<int>> held;
    ~Memory() {
      // A transport that reads on after it let go is to be found out.
      for (auto& piece : pieces) std::fill(piece.begin(), piece.end(), 0xEE);
      --*held;
    }
  };
  auto memory = std::make_shared<Memory>();
  memory->held = held_;
  ++*held_;
  ConstPieces pieces;
  std::uint64_t offset = 0;
  for (const std::size_t size : sizes) {
    memory->pieces.push_back(stream_bytes(stream, offset, size));
    offset += size;
  }
  for (const auto& piece : memory->pieces) pieces.emplace_back(piece);
  exchange.send(pieces, std::move(memory));
  return "sent " + std::to_string(offset);
}

std::string ContractHandler::wait() {
  std::unique_lock lock(mutex_);
  ++waiting_;
  released_.wait(lock, [this] { return is_released_; });
  --waiting_;
  return "released";
}

void ContractHandler::release() {
  {
    const std::lock_guard lock(mutex_);
    is_released_ = true;
  }
  released_.notify_all();
}

}  // namespace parsl_tl::testing
