#include "responder.hpp"

namespace parsl_tl::mochi {
namespace {

using namespace std::chrono_literals;

// A client that does not take its answer in this time is gone. Margo has no limit of its own for
// answers in all of its releases.
constexpr auto kMostTime = 30s;
constexpr auto kMostTimeForStrangers = 5s;
// Each takes two buffers of Mercury's, of 4 kB.
constexpr std::size_t kMostToStrangers = 256;
constexpr auto kBetweenLooks = 1s;
constexpr auto kSendDeadline = 500ms;

}  // namespace

struct Responder::OnItsWay {
  std::shared_ptr<Responder> all;
  std::shared_ptr<Instance> use;
  Handle handle;

  static void end(void* holder, hg_return_t /*result*/) {
    const std::unique_ptr<OnItsWay> answer(static_cast<OnItsWay*>(holder));
    answer->all->remove(answer->handle.get());
  }
};

void Responder::send(Handle handle, std::shared_ptr<Instance> use, const Answer::Header& header,
                     Bytes download, Bytes reply) {
  send(std::move(handle), std::move(use), header, download, reply,
       {Clock::now() + kMostTime, false});
}

void Responder::send_to_stranger(Handle handle, std::shared_ptr<Instance> use,
                                 const Answer::Header& header, Bytes reply) {
  {
    const std::lock_guard guard(mutex_);
    look_for_overdue_locked();
    if (to_strangers_ >= kMostToStrangers) return;
  }
  send(std::move(handle), std::move(use), header, {}, reply,
       {Clock::now() + kMostTimeForStrangers, true});
}

void Responder::send(Handle handle, std::shared_ptr<Instance> use, const Answer::Header& header,
                     Bytes download, Bytes reply, Due due) {
  Answer answer;
  answer.header = header;
  answer.header.now = nanos(Clock::now());
  answer.header.download_size = download.size();
  if (header.outcome != Outcome::kHeld) answer.header.reply_size = reply.size();
  const std::string head = encode_head(answer);
  Outgoing outgoing{
      {{reinterpret_cast<const std::uint8_t*>(head.data()), head.size()}, download, reply}};
  const hg_handle_t raw = handle.get();
  auto sent =
      std::make_unique<OnItsWay>(OnItsWay{shared_from_this(), std::move(use), std::move(handle)});
  {
    const std::lock_guard guard(mutex_);
    look_for_overdue_locked();
    on_their_way_.emplace(raw, due);
    if (due.is_to_stranger) ++to_strangers_;
  }
  if (margo_crespond(raw, &outgoing, &OnItsWay::end, sent.get()) == HG_SUCCESS) {
    sent.release();  // the callback has it
  } else {
    remove(raw);
  }
}

void Responder::look_for_overdue_locked() {
  const TimePoint now = Clock::now();
  if (now < next_look_) return;
  next_look_ = now + kBetweenLooks;
  for (const auto& [handle, due] : on_their_way_) {
    if (due.until <= now) HG_Cancel(handle);
  }
}

void Responder::remove(hg_handle_t handle) {
  const std::lock_guard guard(mutex_);
  const auto found = on_their_way_.extract(handle);
  if (found && found.mapped().is_to_stranger) --to_strangers_;
  changed_.notify_all();
}

void Responder::finish(TimePoint deadline) {
  std::unique_lock lock(mutex_);
  const auto are_sent = [&] { return on_their_way_.empty(); };
  if (changed_.wait_until(lock, deadline, are_sent)) return;
  for (const auto& [handle, due] : on_their_way_) HG_Cancel(handle);
  changed_.wait_until(lock, Clock::now() + kSendDeadline, are_sent);
}

}  // namespace parsl_tl::mochi
