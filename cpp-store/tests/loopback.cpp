#include "loopback.hpp"

#include <arrow/buffer.h>

#include <algorithm>
#include <cstring>

#include "errors.hpp"
#include "frame.hpp"

namespace parsl_tl::testing {
namespace {

constexpr int kMostInARow = 3;

[[noreturn]] void unreachable(const char* why) {
  throw StoreException(ErrorCode::kUnreachable, why);
}

/// Small and large ones: up to a part.
std::size_t random_size(Random& random) {
  const std::uint64_t most = std::uint64_t{1} << (1 + random.below(21));
  return static_cast<std::size_t>(1 + random.below(most));
}

/// Memory of its own for a part, at any place.
std::shared_ptr<arrow::Buffer> as_received(std::span<const std::uint8_t> bytes, Random& random) {
  const std::size_t shift = random.chance(0.5) ? 0 : random.below(32);
  auto memory = std::make_shared<std::vector<std::uint64_t>>((shift + bytes.size()) / 8 + 9);
  auto place = reinterpret_cast<std::uintptr_t>(memory->data());
  place = (place + 63) / 64 * 64 + (random.chance(0.5) ? 0 : shift);
  auto* const begin = reinterpret_cast<std::uint8_t*>(place);
  std::copy(bytes.begin(), bytes.end(), begin);
  return {new arrow::Buffer(begin, static_cast<std::int64_t>(bytes.size())),
          [memory](arrow::Buffer* buffer) { delete buffer; }};
}

void write_at(const Pieces& memory, std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  std::uint64_t start = 0;
  for (const auto& piece : memory) {
    const std::uint64_t from = std::max(offset, start);
    const std::uint64_t to = std::min(offset + bytes.size(), start + piece.size());
    if (from < to) std::memcpy(&piece[from - start], &bytes[from - offset], to - from);
    start += piece.size();
  }
}

enum class Receiving { kKeepsNothing, kMixed, kKeepsAll };

/// Gives the stream to a download in parts; only its first half if it breaks off.
void deliver(const ConstPieces& sent, Download& download, bool breaks_off, Random& random) {
  const auto receiving = static_cast<Receiving>(random.below(3));
  const std::uint64_t end = breaks_off ? size_of(sent) / 2 : size_of(sent);
  std::vector<std::uint8_t> stream;
  for (const auto& piece : sent) stream.insert(stream.end(), piece.begin(), piece.end());
  for (std::uint64_t offset = 0; offset < end;) {
    const auto size = std::min<std::uint64_t>(random_size(random), end - offset);
    const auto part = std::span(stream).subspan(offset, size);
    const bool offers =
        receiving == Receiving::kKeepsAll || (receiving == Receiving::kMixed && random.chance(0.5));
    if (!offers || !download.keep(offset, as_received(part, random))) {
      write_at(download.memory(), offset, part);
    }
    offset += size;
  }
}

}  // namespace

void Failures::plan(Failure failure, std::uint64_t after, std::uint64_t times) {
  const std::lock_guard guard(mutex_);
  planned_ = failure;
  after_ = after;
  times_ = times;
}

void Failures::at_random(double probability) {
  const std::lock_guard guard(mutex_);
  probability_ = probability;
}

void Failures::stop() {
  const std::lock_guard guard(mutex_);
  times_ = 0;
  probability_ = 0.0;
}

Failure Failures::next() {
  const std::lock_guard guard(mutex_);
  ++calls_;
  if (times_ > 0) {
    if (after_ > 0) {
      --after_;
      return Failure::kNone;
    }
    --times_;
    return planned_;
  }
  if (in_a_row_ >= kMostInARow || !random_.chance(probability_)) {
    in_a_row_ = 0;
    return Failure::kNone;
  }
  ++in_a_row_;
  return static_cast<Failure>(1 + random_.below(4));
}

std::uint64_t Failures::calls() {
  const std::lock_guard guard(mutex_);
  return calls_;
}

void Loopback::set_handler(std::shared_ptr<Handler> handler) {
  const std::lock_guard guard(mutex_);
  handler_.swap(handler);
}

std::string Loopback::call(const Call& call) {
  std::shared_ptr<Handler> handler;
  {
    const std::lock_guard guard(mutex_);
    handler = handler_;
  }
  const Failure failure = failures_->next();
  if (handler == nullptr) unreachable("nobody is there");
  if (failure == Failure::kBeforeRequest) unreachable("the request was lost");
  if (failure == Failure::kBusy) return error_reply(ErrorCode::kBusy, "too much to do");
  Random random(seed_ + 1000 * ++calls_);
  const std::uint64_t expected = call.download != nullptr ? call.download->size() : 0;
  MemoryExchange exchange(call.upload, expected, random());
  const bool is_midway = failure == Failure::kMidway;
  if (is_midway && !call.upload.empty()) exchange.break_off_after(size_of(call.upload) / 2);
  // As in a transport, the request lies in memory that is gone after the call.
  const std::vector<std::uint8_t> request(call.request.begin(), call.request.end());
  std::string reply = handler->handle(request, exchange);
  if (exchange.has_sent()) deliver(exchange.sent(), *call.download, is_midway, random);
  if (is_midway || failure == Failure::kBeforeReply) unreachable("the reply was lost");
  return reply;
}

MemoryExchange::MemoryExchange(ConstPieces upload, std::uint64_t expected, std::uint64_t seed)
    : upload_(std::move(upload)), expected_(expected), random_(seed) {}

std::span<const std::uint8_t> MemoryExchange::take() {
  // What was lent before is lost.
  std::fill(lent_.begin(), lent_.end(), 0xEE);
  lent_.clear();
  while (piece_ < upload_.size() && at_ == upload_[piece_].size()) {
    ++piece_;
    at_ = 0;
  }
  if (taken_ >= break_off_) unreachable("the client is gone");
  if (piece_ == upload_.size()) return {};
  const auto rest = upload_[piece_].subspan(at_);
  const auto bytes = rest.first(std::min(random_size(random_), rest.size()));
  lent_.assign(bytes.begin(), bytes.end());
  at_ += bytes.size();
  taken_ += bytes.size();
  return lent_;
}

void MemoryExchange::send(const ConstPieces& pieces, std::shared_ptr<const void> owner) {
  if (has_sent_) throw StoreException(ErrorCode::kInvalidValue, "sent twice");
  if (size_of(pieces) != expected_) {
    throw StoreException(ErrorCode::kInvalidValue, "the client expects another number of bytes");
  }
  has_sent_ = true;
  sent_ = pieces;
  owner_ = std::move(owner);
}

}  // namespace parsl_tl::testing
