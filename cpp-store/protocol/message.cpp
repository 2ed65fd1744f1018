#include "message.hpp"

namespace parsl_tl::message {

void refuse(const char* field, const std::string& why) {
  throw StoreException(ErrorCode::kInvalidValue,
                       std::string("malformed message: field ") + field + ": " + why);
}

std::span<const std::uint8_t> Reader::take(const char* field, std::uint64_t count,
                                           std::size_t width) {
  if (count > left_.size() / width) {
    refuse(field, std::to_string(count) + " times " + std::to_string(width) +
                      " bytes are announced, " + std::to_string(left_.size()) + " are left");
  }
  const auto taken = left_.first(count * width);
  left_ = left_.subspan(taken.size());
  return taken;
}

bool Reader::read_flag(const char* field) {
  const std::uint8_t flag = take(field, 1, 1).front();
  if (flag > 1) refuse(field, std::to_string(flag) + " is neither true nor false");
  return flag == 1;
}

Count Reader::read_count(const char* field) {
  Count count = 0;
  copy(&count, take(field, 1, sizeof count));
  return count;
}

void Reader::finish() const {
  if (left_.empty()) return;
  throw StoreException(ErrorCode::kInvalidValue,
                       "malformed message: " + std::to_string(left_.size()) + " bytes follow it");
}

}  // namespace parsl_tl::message
