#include "attempts.hpp"

#include "errors.hpp"
#include "process_origin.hpp"

namespace parsl_tl {

AttemptOrigin AttemptOrigin::here() {
  const auto process = static_cast<std::uint64_t>(::getpid());
  return {process_space(), process, start_of(process).value_or(0)};
}

bool AttemptOrigin::is_gone() const {
  return !machine.empty() && machine == process_space() && process != 0 &&
         start_of(process) != process_start;
}

Attempts::Entry& Attempts::find(std::uint64_t model_id, std::uint64_t attempt) {
  const auto found = entries_.find(model_id);
  if (found != entries_.end() && found->second.attempt == attempt) return found->second;
  throw StoreException(ErrorCode::kStale, "this attempt to store model " + hex_id(model_id) +
                                              " was given up, or another one took its place");
}

bool Attempts::is_abandoned(const Entry& entry) const {
  if (entry.stage == Stage::kCommitting) return false;
  if (entry.origin.is_gone()) return true;
  return entry.stage == Stage::kAnnounced && Clock::now() - entry.announced > silence_;
}

void Attempts::drop_abandoned() {
  std::erase_if(entries_, [this](const auto& entry) { return is_abandoned(entry.second); });
  look_at_ = 1024 + 2 * entries_.size();
}

void Attempts::begin(std::uint64_t model_id, std::uint64_t attempt, AttemptOrigin origin) {
  const std::lock_guard guard(mutex_);
  if (entries_.size() >= look_at_) drop_abandoned();
  Entry& entry = entries_[model_id];
  if (entry.attempt == attempt) return;
  if (entry.attempt != 0 && entry.stage != Stage::kAnnounced && !is_abandoned(entry)) {
    throw StoreException(ErrorCode::kBusy, "another attempt to store model " + hex_id(model_id) +
                                               " is under way; try again later");
  }
  entry = {attempt, std::move(origin), Stage::kAnnounced, Clock::now()};
}

void Attempts::start(std::uint64_t model_id, std::uint64_t attempt) {
  const std::lock_guard guard(mutex_);
  find(model_id, attempt).stage = Stage::kAtWork;
}

void Attempts::commit(std::uint64_t model_id, std::uint64_t attempt) {
  const std::lock_guard guard(mutex_);
  find(model_id, attempt).stage = Stage::kCommitting;
}

void Attempts::end(std::uint64_t model_id, std::uint64_t attempt) {
  const std::lock_guard guard(mutex_);
  const auto found = entries_.find(model_id);
  if (found != entries_.end() && found->second.attempt == attempt) entries_.erase(found);
}

bool Attempts::is_under_way(std::uint64_t model_id, std::uint64_t attempt, SettleHow how) {
  const std::lock_guard guard(mutex_);
  const auto found = entries_.find(model_id);
  if (found == entries_.end() || found->second.attempt != attempt) return false;
  const bool is_over = is_abandoned(found->second) ||
                       (how == SettleHow::kGiveUp && found->second.stage != Stage::kCommitting);
  if (is_over && how != SettleHow::kLook) entries_.erase(found);
  return !is_over;
}

}  // namespace parsl_tl
