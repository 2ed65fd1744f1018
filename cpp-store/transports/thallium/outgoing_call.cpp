#include "outgoing_call.hpp"

#include "errors.hpp"

namespace parsl_tl::mochi {
namespace {

using namespace std::chrono_literals;

// A cancelled call ends at once unless its message is on its way just then.
constexpr auto kCancelDeadline = 50ms;

/// What a result of Mercury's means to somebody who wanted an answer.
std::string reason(hg_return_t result) {
  switch (result) {
    case HG_NOENTRY:
      return "no store is served there with this provider id";
    case HG_CANCELED:
      return "no answer in time";
    default:
      return HG_Error_to_string(result);
  }
}

}  // namespace

hg_id_t register_for_calls(Instance& instance, std::uint16_t provider_id) {
  // Margo looks whether it knows an RPC and registers it in two steps.
  const std::lock_guard guard(instance.registration());
  const auto add = [&](std::uint16_t id) {
    return margo_provider_register_name(instance.margo(), kRpcName, process_message,
                                        process_message, _handler_for_NULL, id, ABT_POOL_NULL);
  };
  add(provider_id);
  return add(MARGO_DEFAULT_PROVIDER_ID);
}

OutgoingCall::OutgoingCall(const Target& target, const std::vector<Bytes>& message) {
  hg_handle_t handle = HG_HANDLE_NULL;
  auto use = target.peer->instance().use();
  hg_return_t result = margo_create(use->margo(), target.peer->address(), target.rpc, &handle);
  if (result != HG_SUCCESS) throw StoreException(ErrorCode::kUnreachable, reason(result));
  state_ = std::make_shared<State>(std::move(use), target.peer, Handle(handle));

  auto held = std::make_unique<std::shared_ptr<State>>(state_);
  const auto note_end = [](void* holder, hg_return_t end) {
    const std::unique_ptr<std::shared_ptr<State>> state(
        static_cast<std::shared_ptr<State>*>(holder));
    (*state)->completion.set(end);
  };
  Outgoing outgoing{message};
  // Without a timeout of Margo's: it may cancel a call that has not begun yet, and then never does.
  result =
      margo_provider_cforward_timed(target.provider_id, handle, &outgoing, 0, note_end, held.get());
  if (result != HG_SUCCESS) throw StoreException(ErrorCode::kUnreachable, reason(result));
  held.release();  // the callback has it
}

bool OutgoingCall::wait_until(TimePoint deadline) {
  return state_->completion.wait_until(deadline);
}

bool OutgoingCall::cancel() {
  HG_Cancel(state_->handle.get());
  return state_->completion.wait_until(Clock::now() + kCancelDeadline) &&
         state_->completion.result() != HG_CANCELED;
}

bool OutgoingCall::is_nobodys() const { return state_->completion.result() == HG_NOENTRY; }

void OutgoingCall::read_answer(const std::function<void(const Answer&)>& read) {
  struct Reading {
    const std::function<void(const Answer&)>& read;
    ServerClock& clock;
    std::exception_ptr failure;
  } reading{read, state_->peer->clock(), nullptr};
  // Nothing may be thrown through Mercury.
  const auto look = [](void* reader, Bytes message) {
    auto& to = *static_cast<Reading*>(reader);
    try {
      const auto answer = decode_answer(message);
      if (!answer) throw StoreException(ErrorCode::kIo, "it speaks another protocol");
      to.clock.note(answer->header.now);
      to.read(*answer);
    } catch (...) {
      to.failure = std::current_exception();
    }
  };
  Incoming incoming{look, &reading};
  hg_return_t result = state_->completion.result();
  if (result == HG_SUCCESS) result = margo_get_output(state_->handle.get(), &incoming);
  if (result != HG_SUCCESS) throw StoreException(ErrorCode::kUnreachable, reason(result));
  margo_free_output(state_->handle.get(), &incoming);
  if (reading.failure) std::rethrow_exception(reading.failure);
}

bool ask_whether_over(const Target& target, std::uint64_t client, std::uint64_t call, Bytes request,
                      TimePoint deadline) {
  Arguments question;
  question.header.magic = kArgumentsMagic;
  question.header.flags = kCloseRegion;
  question.header.client = client;
  question.header.call = call;
  question.header.request_size = beginning_of(request).size();
  const std::string head = encode_head(question);
  OutgoingCall outgoing(target, {bytes_of(head), beginning_of(request)});
  if (!outgoing.wait_until(deadline) && !outgoing.cancel()) return false;
  if (outgoing.is_nobodys()) return true;
  outgoing.read_answer([](const Answer&) {});
  return true;
}

}  // namespace parsl_tl::mochi
