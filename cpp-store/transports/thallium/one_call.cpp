#include "one_call.hpp"

#include <algorithm>
#include <cstring>

#include "errors.hpp"

namespace parsl_tl::mochi {
namespace {

using namespace std::chrono_literals;

// Up to this size a download is a part of the answer.
constexpr std::uint64_t kSmallDownload = 2048;
// What is kept back of a call's time for the question whether its memory is left alone.
constexpr auto kMostForQuestion = 1000ms;
constexpr auto kLeastForQuestion = 20ms;

}  // namespace

OneCall::OneCall(Target target, const Call& call, TimePoint deadline, std::uint64_t client,
                 std::uint64_t number)
    : target_(std::move(target)),
      call_(call),
      deadline_(deadline),
      exposure_(target_.peer->instance().shared_from_this()) {
  arguments_.header.magic = kArgumentsMagic;
  arguments_.header.client = client;
  arguments_.header.call = number;
}

void OneCall::lay_open() {
  auto& header = arguments_.header;
  header.request_size = call_.request.size();
  header.upload_size = size_of(call_.upload);
  header.download_size = call_.download != nullptr ? call_.download->size() : 0;
  if (header.download_size > kSmallDownload) {
    const Pieces& memory = call_.download->memory();
    if (size_of(memory) != header.download_size) {
      throw StoreException(ErrorCode::kInvalidValue,
                           "memory of " + std::to_string(size_of(memory)) + " bytes for " +
                               std::to_string(header.download_size));
    }
    arguments_.download_memory = exposure_.for_writing(memory);
  }
  const std::size_t most = target_.peer->instance().most_in_message();
  std::size_t used = sizeof(std::uint64_t) + sizeof(Arguments::Header) +
                     arguments_.download_memory.size() * sizeof(RemotePiece);
  const auto fits = [&](std::uint64_t size) {
    if (used + size > most) return false;
    used += size;
    return true;
  };
  if (fits(header.request_size)) {
    in_message_.push_back(call_.request);
  } else {
    arguments_.request_memory = exposure_.for_reading({call_.request});
  }
  if (fits(header.upload_size)) {
    in_message_.insert(in_message_.end(), call_.upload.begin(), call_.upload.end());
  } else {
    arguments_.upload_memory = exposure_.for_reading(call_.upload);
  }
  const std::size_t most_pieces =
      std::max(arguments_.upload_memory.size(), arguments_.download_memory.size());
  if (most_pieces > kMostPieces) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "a call with " + std::to_string(most_pieces) + " pieces of memory; " +
                             std::to_string(kMostPieces) + " are allowed");
  }
  header.request_pieces = static_cast<std::uint32_t>(arguments_.request_memory.size());
  header.upload_pieces = static_cast<std::uint32_t>(arguments_.upload_memory.size());
  header.download_pieces = static_cast<std::uint32_t>(arguments_.download_memory.size());
}

TimePoint OneCall::answer_deadline() const {
  return deadline_ - std::min<std::chrono::milliseconds>(call_.timeout / 10, kMostForQuestion);
}

std::optional<std::string> OneCall::run() {
  lay_open();
  arguments_.header.deadline = target_.peer->clock().at(answer_deadline()).value_or(0);
  const std::string head = encode_head(arguments_);
  std::vector<Bytes> message{bytes_of(head)};
  message.insert(message.end(), in_message_.begin(), in_message_.end());
  std::optional<std::string> reply;
  try {
    OutgoingCall outgoing(target_, message);
    if (!wait(outgoing) && !outgoing.cancel()) {
      throw StoreException(ErrorCode::kUnreachable,
                           "no answer within " + std::to_string(call_.timeout.count()) + " ms");
    }
    outgoing.read_answer([&](const Answer& answer) { reply = take(answer); });
  } catch (const StoreException&) {
    abandon();
    throw;
  }
  return reply;
}

bool OneCall::must_give_up() const {
  return target_.peer->is_cut() || target_.peer->instance().is_ending();
}

bool OneCall::wait(OutgoingCall& outgoing) const {
  const TimePoint end = answer_deadline();
  while (!outgoing.wait_until(std::min(end, Clock::now() + kGlance))) {
    if (Clock::now() >= end || must_give_up()) return false;
  }
  return true;
}

void OneCall::abandon() {
  bool is_answered = false;
  try {
    is_answered = !must_give_up() &&
                  ask_whether_over(target_, arguments_.header.client, arguments_.header.call,
                                   std::max(deadline_, Clock::now() + kLeastForQuestion));
  } catch (const StoreException&) {
    // Then it is not there any more.
  }
  if (!is_answered) target_.peer->cut();
  exposure_.close();
}

std::optional<std::string> OneCall::take(const Answer& answer) {
  switch (answer.header.outcome) {
    case Outcome::kAnswered: break;
    case Outcome::kLate: return std::nullopt;
    case Outcome::kStopping: throw StoreException(ErrorCode::kUnreachable, "it is about to end");
    case Outcome::kGone:
      throw StoreException(ErrorCode::kUnreachable, "it could not read the memory of the call");
    default:
      throw StoreException(ErrorCode::kIo, "it does not understand the call; do both sides run "
                                           "the same release?");
  }
  if (answer.header.sent > 0) exposure_.deliver();
  if (!answer.download.empty()) scatter(answer.download);
  return std::string(reinterpret_cast<const char*>(answer.reply.data()), answer.reply.size());
}

void OneCall::scatter(Bytes download) {
  if (call_.download == nullptr || download.size() != call_.download->size()) {
    throw StoreException(ErrorCode::kIo, "it sent " + std::to_string(download.size()) +
                                             " bytes that nobody expects");
  }
  for (const std::span<std::uint8_t> piece : call_.download->memory()) {
    if (!piece.empty()) std::memcpy(piece.data(), download.data(), piece.size());
    download = download.subspan(piece.size());
  }
}

}  // namespace parsl_tl::mochi
