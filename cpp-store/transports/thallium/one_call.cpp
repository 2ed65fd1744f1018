#include "one_call.hpp"

#include <algorithm>
#include <cstring>

#include "errors.hpp"

namespace parsl_tl::mochi {
namespace {

using namespace std::chrono_literals;

// What is kept back of a call's time for the question whether its memory is left alone.
constexpr auto kMostForQuestion = 1000ms;
constexpr auto kLeastForQuestion = 20ms;
// What is left in a message for pieces of memory, or for where their list lies.
constexpr std::size_t kRoomForPieces = 4 * sizeof(RemotePiece);

}  // namespace

OneCall::OneCall(Target target, const Call& call, TimePoint deadline, std::uint64_t client,
                 std::uint64_t number)
    : target_(std::move(target)),
      call_(call),
      deadline_(deadline),
      memory_(target_.peer->instance().shared_from_this()),
      reply_memory_(target_.peer->instance().shared_from_this()) {
  arguments_.header.client = client;
  arguments_.header.call = number;
}

void OneCall::lay_open() {
  auto& header = arguments_.header;
  header.request_size = call_.request.size();
  header.upload_size = size_of(call_.upload);
  header.download_size = call_.download != nullptr ? call_.download->size() : 0;
  if (header.download_size > kMostDownloadInAnswer) {
    const Pieces& memory = call_.download->memory();
    if (size_of(memory) != header.download_size) {
      throw StoreException(ErrorCode::kInvalidValue,
                           "memory of " + std::to_string(size_of(memory)) + " bytes for " +
                               std::to_string(header.download_size));
    }
    arguments_.download_memory = memory_.for_writing(memory);
  }
  const std::size_t most = target_.peer->instance().most_in_message();
  std::size_t used = sizeof(std::uint64_t) + sizeof(Arguments::Header);
  const auto fits = [&](std::uint64_t size) {
    if (used + size > most - kRoomForPieces) return false;
    used += size;
    return true;
  };
  if (fits(header.request_size)) {
    in_message_.push_back(call_.request);
  } else {
    arguments_.request_memory = memory_.for_reading({call_.request});
    in_message_.push_back(beginning_of(call_.request));
    used += in_message_.back().size();
  }
  if (fits(header.upload_size)) {
    in_message_.insert(in_message_.end(), call_.upload.begin(), call_.upload.end());
  } else {
    arguments_.upload_memory = memory_.for_reading(call_.upload);
  }
  count_pieces();
  if (used + arguments_.pieces() * sizeof(RemotePiece) > most) {
    list_ = encode_pieces(arguments_);
    arguments_.list_memory = memory_.for_reading({bytes_of(list_)});
    header.list_pieces = static_cast<std::uint32_t>(arguments_.list_memory.size());
  }
}

void OneCall::count_pieces() {
  const std::size_t most_pieces =
      std::max(arguments_.upload_memory.size(), arguments_.download_memory.size());
  if (most_pieces > kMostPieces) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "a call with " + std::to_string(most_pieces) + " pieces of memory; " +
                             std::to_string(kMostPieces) + " are allowed");
  }
  auto& header = arguments_.header;
  header.request_pieces = static_cast<std::uint32_t>(arguments_.request_memory.size());
  header.upload_pieces = static_cast<std::uint32_t>(arguments_.upload_memory.size());
  header.download_pieces = static_cast<std::uint32_t>(arguments_.download_memory.size());
}

TimePoint OneCall::answer_deadline() const {
  return deadline_ - std::min<std::chrono::milliseconds>(call_.timeout / 10, kMostForQuestion);
}

std::optional<std::string> OneCall::run() {
  lay_open();
  try {
    exchange(arguments_, in_message_, [this](const Answer& answer) { take(answer); });
    if (held_bytes_ > 0) fetch_reply(held_bytes_);
  } catch (const StoreException&) {
    abandon();
    throw;
  }
  return std::move(reply_);
}

void OneCall::exchange(Arguments& arguments, const std::vector<Bytes>& parts,
                       const std::function<void(const Answer&)>& read) {
  arguments.header.deadline = target_.peer->clock().at(answer_deadline()).value_or(0);
  const std::string head = encode_head(arguments);
  std::vector<Bytes> message{bytes_of(head)};
  message.insert(message.end(), parts.begin(), parts.end());
  OutgoingCall outgoing(target_, message);
  if (!wait(outgoing) && !outgoing.cancel()) {
    throw StoreException(ErrorCode::kUnreachable,
                         "no answer within " + std::to_string(call_.timeout.count()) + " ms");
  }
  outgoing.read_answer(read);
}

void OneCall::fetch_reply(std::uint64_t size) {
  reply_.emplace(size, '\0');
  const std::span<std::uint8_t> memory(reinterpret_cast<std::uint8_t*>(reply_->data()), size);
  const Bytes beginning = beginning_of(call_.request);
  Arguments fetch;
  fetch.header = {.flags = kFetchReply,
                  .call = arguments_.header.call,
                  .client = arguments_.header.client,
                  .request_size = beginning.size(),
                  .download_size = size};
  fetch.download_memory = reply_memory_.for_writing({memory});
  fetch.header.download_pieces = static_cast<std::uint32_t>(fetch.download_memory.size());
  exchange(fetch, {beginning}, [&](const Answer& answer) {
    // That it came too late does not mean that nothing was done.
    if (answer.header.outcome != Outcome::kAnswered || answer.header.sent != size) {
      throw StoreException(ErrorCode::kUnreachable, "it did not send its reply");
    }
    reply_memory_.deliver();
  });
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
    is_answered =
        !must_give_up() &&
        ask_whether_over(target_, arguments_.header.client, arguments_.header.call, call_.request,
                         std::max(deadline_, Clock::now() + kLeastForQuestion));
  } catch (const StoreException&) {
    // Then it is not there any more.
  }
  if (!is_answered) target_.peer->cut();
  memory_.close();
  reply_memory_.close();
}

void OneCall::take(const Answer& answer) {
  switch (answer.header.outcome) {
    case Outcome::kAnswered:
    case Outcome::kHeld:
      break;
    case Outcome::kLate:
      return;
    case Outcome::kStopping:
      throw StoreException(ErrorCode::kUnreachable, "it is about to end");
    case Outcome::kGone:
      throw StoreException(ErrorCode::kUnreachable, "it could not read the memory of the call");
    default:
      throw StoreException(ErrorCode::kIo,
                           "it does not understand the call; do both sides run "
                           "the same release?");
  }
  if (answer.header.sent > 0) memory_.deliver();
  if (!answer.download.empty()) scatter(answer.download);
  if (answer.header.outcome == Outcome::kAnswered) {
    reply_.emplace(answer.reply.begin(), answer.reply.end());
    return;
  }
  held_bytes_ = answer.header.reply_size;
  if (held_bytes_ == 0 || held_bytes_ > kMostReplyBytes) {
    throw StoreException(ErrorCode::kIo,
                         "it has a reply of " + std::to_string(held_bytes_) + " bytes");
  }
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
