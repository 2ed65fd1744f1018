// Every message that there is, for tests of all of them; and messages with random contents.
#pragma once

#include <limits>
#include <string>
#include <type_traits>

#include "handlers/handlers.hpp"
#include "random.hpp"

namespace parsl_tl::testing {

/// Calls visit.operator()<Request>() for each kind of request.
template <typename Visit>
void for_each_request(const Visit& visit) {
#define PARSL_TL_VISIT(Request, name) visit.template operator()<Request>();
  PARSL_TL_REQUESTS(PARSL_TL_VISIT)
#undef PARSL_TL_VISIT
}

/// The same for requests and replies.
template <typename Visit>
void for_each_message(const Visit& visit) {
  for_each_request([&]<typename Request>() {
    visit.template operator()<Request>();
    visit.template operator()<typename Request::Reply>();
  });
}

/// Any value of a field's type, edges of its range and empty ones more often than others.
template <typename T>
void randomize(T& value, Random& random) {
  if constexpr (std::is_same_v<T, bool>) {
    value = random.chance(0.5);
  } else if constexpr (std::is_same_v<T, double>) {
    value = static_cast<double>(static_cast<std::int64_t>(random())) / 65536.0;
  } else if constexpr (std::is_integral_v<T>) {
    value = static_cast<T>(random() >> random.below(64));
    if (random.chance(0.1)) value = std::numeric_limits<T>::max();
  } else if constexpr (std::is_same_v<T, std::string>) {
    const auto bytes = random.bytes(random.below(20));
    value.assign(bytes.begin(), bytes.end());
  } else if constexpr (message::IsMessage<T>) {
    T::fields(value, [&](const char*, auto& own) { randomize(own, random); });
  } else if constexpr (message::is_optional<T>) {
    value.reset();
    if (random.chance(0.5)) randomize(value.emplace(), random);
  } else {
    value.resize(random.chance(0.3) ? 0 : random.below(9));
    for (auto& element : value) randomize(element, random);
  }
}

template <typename Message>
Message random_message(Random& random) {
  Message made;
  Message::fields(made, [&](const char*, auto& value) { randomize(value, random); });
  return made;
}

template <typename Message>
bool are_same(const Message& a, const Message& b) {
  std::vector<const void*> others;
  Message::fields(b, [&](const char*, const auto& value) { others.push_back(&value); });
  bool same = true;
  std::size_t next = 0;
  Message::fields(a, [&]<typename T>(const char*, const T& value) {
    same = same && value == *static_cast<const T*>(others[next++]);
  });
  return same;
}

template <typename Message>
std::string encoded(const Message& message) {
  std::string bytes;
  encode_message(message, bytes);
  return bytes;
}

template <typename Message>
Message decoded(const std::string& bytes) {
  return decode_message<Message>(
      {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

}  // namespace parsl_tl::testing
