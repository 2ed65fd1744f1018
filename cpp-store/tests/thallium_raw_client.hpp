// A client of the Thallium transport that says whatever it likes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "instance.hpp"
#include "message.hpp"
#include "outgoing_call.hpp"

namespace parsl_tl::testing {

using Message = std::vector<std::uint8_t>;

inline Message message_of(const mochi::Arguments& arguments, const std::string& request,
                          const std::string& upload = "") {
  const std::string all = encode_head(arguments) + request + upload;
  return Message(all.begin(), all.end());
}

class RawThalliumClient {
 public:
  explicit RawThalliumClient(const std::string& address)
      : instance_(mochi::Instance::start(mochi::protocol_of(address), mochi::Role::kClient)) {
    hg_addr_t found = HG_ADDR_NULL;
    margo_addr_lookup(instance_->margo(), address.c_str(), &found);
    target_.peer = std::make_shared<mochi::Peer>(instance_, found);
    target_.rpc = mochi::register_for_calls(*instance_, 0);
  }

  struct Said {
    mochi::Outcome outcome;
    std::string reply;
  };
  /// What the server says to this; nothing if it takes longer.
  std::optional<Said> say(const Message& message,
                          std::chrono::milliseconds deadline = std::chrono::milliseconds(60'000)) {
    mochi::OutgoingCall call(target_, {mochi::Bytes(message)});
    if (!call.wait_until(mochi::Clock::now() + deadline) && !call.cancel()) return std::nullopt;
    Said said{};
    call.read_answer([&](const mochi::Answer& answer) {
      said = {answer.header.outcome, std::string(answer.reply.begin(), answer.reply.end())};
    });
    return said;
  }
  bool is_refused(const Message& message) {
    const auto said = say(message);
    return said && said->outcome == mochi::Outcome::kRefused;
  }
  /// Says it, and does not wait for an answer.
  mochi::OutgoingCall begin(const Message& message) {
    return mochi::OutgoingCall(target_, {mochi::Bytes(message)});
  }

 private:
  std::shared_ptr<mochi::Instance> instance_;
  mochi::Target target_{};
};

}  // namespace parsl_tl::testing
