#include "recent_replies.hpp"

#include "errors.hpp"

namespace parsl_tl {
namespace {

// What an entry takes beside its reply, roughly.
constexpr std::size_t kEntryBytes = 200;

}  // namespace

std::string RecentReplies::answer(const ClientId& client, std::uint64_t number,
                                  const std::function<std::string()>& work) {
  if (number == 0) return work();
  const Key key{client, number};
  {
    const std::lock_guard guard(mutex_);
    const auto [known, is_new] = replies_.try_emplace(key);
    if (!is_new && known->second) return *known->second;
    if (!is_new) {
      throw StoreException(ErrorCode::kUnreachable,
                           "the server is still at work on this request, which came before");
    }
  }
  try {
    std::string reply = work();
    remember(key, reply);
    return reply;
  } catch (...) {
    const std::lock_guard guard(mutex_);
    replies_.erase(key);
    throw;
  }
}

void RecentReplies::remember(const Key& key, const std::string& reply) {
  const std::lock_guard guard(mutex_);
  order_.push_back(key);
  replies_[key] = reply;
  bytes_ += reply.size() + kEntryBytes;
  while (bytes_ > most_bytes_) {
    const auto oldest = replies_.find(order_.front());
    bytes_ -= oldest->second->size() + kEntryBytes;
    replies_.erase(oldest);
    order_.pop_front();
  }
}

}  // namespace parsl_tl
