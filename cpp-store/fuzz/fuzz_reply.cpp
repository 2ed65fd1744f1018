// Bytes as the servers' replies to each call of a client: it makes sense of them, or says what is
// wrong with them, and takes no more memory than they have.
#include <arrow/buffer.h>

#include <algorithm>
#include <deque>
#include <mutex>

#include "client_calls.hpp"
#include "reply_input.hpp"
#include "same_machine.hpp"
#include "small_store.hpp"

namespace parsl_tl::fuzz {
namespace {

constexpr std::uint64_t kMostDownload = 1 << 20;

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

/// The store whose files the client maps if it takes the server for one of this machine.
Engine& nearby_store() {
  static SmallStore* const store = new SmallStore(false);
  static const auto* const engine = new std::shared_ptr<Engine>(store->fresh());
  return **engine;
}

class ScriptedChannel final : public Channel {
 public:
  ScriptedChannel(std::uint8_t flags, std::uint32_t index, std::uint32_t count)
      : flags_(flags), index_(index), count_(count) {}

  void add(Input reply) { replies_.push_back(reply); }

  std::string call(const Call& call) override {
    const RequestHeader header = parse_request(call.request);
    const bool is_whole = (flags_ & kWholeReplies) != 0;
    if (header.kind == RequestKind::kHello && !is_whole) return hello();
    Input bytes;
    {
      const std::lock_guard guard(mutex_);
      // No error that may pass: the client would ask again.
      if (replies_.empty()) throw StoreException(ErrorCode::kIo, "no more replies");
      bytes = replies_.front();
      replies_.pop_front();
    }
    if (call.download != nullptr) deliver(*call.download);
    std::string reply = is_whole ? "" : start_reply();
    return reply.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

 private:
  std::string hello() const {
    HelloReply facts;
    facts.server_index = index_;
    facts.server_count = count_;
    if ((flags_ & kMapped) != 0) {
      facts.boot_id = boot_id();
      facts.folder = nearby_store().folder();
      const FileIdentity identity = identity_of(facts.folder);
      facts.folder_device = identity.device;
      facts.folder_inode = identity.inode;
      facts.checksums = true;
    }
    std::string reply = start_reply();
    encode_message(facts, reply);
    return reply;
  }

  /// As many bytes as the client wants, in parts that it keeps or has written to its memory.
  static void deliver(Download& download) {
    const std::uint64_t size = download.size();
    if (size > kMostDownload) throw StoreException(ErrorCode::kIo, "too much to send");
    const std::vector<std::uint8_t> bytes(size, 'd');
    for (std::uint64_t offset = 0, number = 0; offset < size; ++number) {
      const auto part =
          std::span(bytes).subspan(offset, std::min<std::uint64_t>(size - offset, 100));
      const auto buffer = arrow::Buffer::FromString(std::string(part.begin(), part.end()));
      const bool is_kept = number % 3 != 1 && download.keep(offset, buffer);
      std::uint64_t start = 0;
      for (const auto& piece : is_kept ? Pieces() : download.memory()) {
        const std::uint64_t from = std::max(offset, start);
        const std::uint64_t to = std::min(offset + part.size(), start + piece.size());
        for (std::uint64_t i = from; i < to; ++i) piece[i - start] = part[i - offset];
        start += piece.size();
      }
      offset += part.size();
    }
  }

  const std::uint8_t flags_;
  const std::uint32_t index_;
  const std::uint32_t count_;
  std::mutex mutex_;
  std::deque<Input> replies_;
};

void run(Input bytes) {
  const ReplyInput input = ReplyInput::from(bytes);
  const std::uint32_t count = (input.flags & kThreeServers) != 0 ? 3 : 1;
  std::vector<std::shared_ptr<ScriptedChannel>> channels;
  for (std::uint32_t i = 0; i < count; ++i) {
    channels.push_back(std::make_shared<ScriptedChannel>(input.flags, i, count));
  }
  for (const ReplyInput::Reply& reply : input.replies)
    channels[reply.server % count]->add(reply.bytes);
  ConnectionOptions options;
  options.retry_for = options.rest = std::chrono::milliseconds(0);
  answer([&] {
    RemoteStore store({channels.begin(), channels.end()}, std::vector<std::string>(count, "server"),
                      options);
    make_client_call(store, input.call);
  });
}

}  // namespace
}  // namespace parsl_tl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  parsl_tl::fuzz::run({data, size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  using namespace parsl_tl;
  using namespace parsl_tl::fuzz;
  testing::Random random(seed);
  ReplyInput input = ReplyInput::from({data, size});
  const bool is_whole = (input.flags & kWholeReplies) != 0;
  if (input.replies.empty() || is_whole || random.chance(0.4)) {
    return LLVMFuzzerMutate(data, size, most);
  }
  if (random.chance(0.05)) input.call = static_cast<std::uint8_t>(random());
  if (random.chance(0.05)) input.flags ^= static_cast<std::uint8_t>(1 << random.below(3));
  auto& chosen = input.replies[random.below(input.replies.size())];
  if (random.chance(0.1)) chosen.server = static_cast<std::uint8_t>(random.below(3));
  std::string message;
  visit_request(chosen.kind % all_requests().size(), [&]<typename Request>() {
    message = changed<typename Request::Reply>(chosen.bytes, known_values(), random);
  });
  chosen.bytes = bytes_of(message);
  if (random.chance(0.1)) input.replies.push_back(random.pick(input.replies));
  const Bytes made = input.bytes();
  if (made.size() > most) return LLVMFuzzerMutate(data, size, most);
  std::copy(made.begin(), made.end(), data);
  return made.size();
}
