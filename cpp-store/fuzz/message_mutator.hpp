// Mutations that leave a message one: fields are changed, and all of it is encoded anew. So the
// fuzzer gets past the decoder to what is done with the message.
#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>

#include "all_requests.hpp"
#include "dispatch.hpp"
#include "wrap.hpp"

namespace parsl_tl::fuzz {

/// What a target knows: numbers and texts that mean something to it.
struct KnownValues {
  std::vector<std::uint64_t> numbers;
  std::vector<std::string> texts;
};

template <typename Message>
void change_fields(Message& message, const KnownValues& known, testing::Random& random);

template <typename T>
void change(T& value, const KnownValues& known, testing::Random& random) {
  if constexpr (std::is_same_v<T, std::string>) {
    if (!known.texts.empty() && random.chance(0.6)) {
      value = random.pick(known.texts);
    } else if (value.empty() || random.chance(0.5)) {
      value += static_cast<char>(random());
    } else {
      value[random.below(value.size())] = static_cast<char>(random());
    }
  } else if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, double>) {
    testing::randomize(value, random);
    if constexpr (std::is_same_v<T, double>) {
      if (random.chance(0.5)) value = static_cast<double>(random.below(5)) - 1;
      if (random.chance(0.05)) value = std::numeric_limits<double>::quiet_NaN();
    }
  } else if constexpr (std::is_integral_v<T>) {
    if (random.chance(0.5)) {
      value = static_cast<T>(random.pick(known.numbers));
    } else if (random.chance(0.7)) {
      value = static_cast<T>(value + random.below(5) - 2);
    } else {
      testing::randomize(value, random);
    }
  } else if constexpr (message::IsMessage<T>) {
    change_fields(value, known, random);
  } else if constexpr (message::is_optional<T>) {
    if (value && random.chance(0.3)) return value.reset();
    if (!value) value.emplace();
    change(*value, known, random);
  } else {
    const std::size_t place = value.empty() ? 0 : random.below(value.size());
    const auto at = value.begin() + static_cast<std::ptrdiff_t>(place);
    switch (value.empty() ? 0 : random.below(6)) {
      case 0:
        change(*value.insert(at, typename T::value_type{}), known, random);
        break;
      case 1:
        value.erase(at);
        break;
      case 2:
        value.insert(at, typename T::value_type(*at));
        break;
      case 3:
        std::swap(*at, value[random.below(value.size())]);
        break;
      default:
        change(*at, known, random);
    }
  }
}

/// Changes some of the fields.
template <typename Message>
void change_fields(Message& message, const KnownValues& known, testing::Random& random) {
  std::size_t fields = 0;
  Message::fields(message, [&](const char*, auto&) { ++fields; });
  for (std::uint64_t i = 0; fields > 0 && i <= random.below(3); ++i) {
    std::size_t chosen = random.below(fields);
    Message::fields(message, [&](const char*, auto& value) {
      if (chosen-- == 0) change(value, known, random);
    });
  }
}

/// The message with some of its fields changed; a random one for what is none.
template <typename Message>
std::string changed(Input bytes, const KnownValues& known, testing::Random& random) {
  Message message;
  try {
    message = decode_message<Message>(bytes);
  } catch (const StoreException&) {
    message = testing::random_message<Message>(random);
  }
  change_fields(message, known, random);
  return testing::encoded(message);
}

/// Calls visit.operator()<Request>() for the request of this place in the table of requests.
template <typename Visit>
void visit_request(std::size_t place, const Visit& visit) {
  const RequestKind kind = all_requests()[place].kind;
  testing::for_each_request([&]<typename Request>() {
    if (Request::kKind == kind) visit.template operator()<Request>();
  });
}

}  // namespace parsl_tl::fuzz

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed);
