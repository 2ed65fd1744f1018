// A very small test harness: cases that register themselves, and checks that go on after a failure.
#pragma once

#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>

#include "errors.hpp"

namespace parsl_tl::testing {

/// Registers a case; `main` runs them all.
struct Case {
  Case(const char* name, void (*body)());
};

/// Notes a failure of the running case.
void fail(const char* file, int line, const std::string& what);

template <typename T>
std::string shown(const T& value) {
  std::ostringstream out;
  if constexpr (std::is_enum_v<T>) {
    out << static_cast<long long>(value);
  } else if constexpr (requires { out << value; }) {
    out << value;
  } else {
    out << "(no text)";
  }
  return out.str();
}

template <typename A, typename B>
void check_equal(const A& a, const B& b, const char* text, const char* file, int line) {
  if (a == b) return;
  fail(file, line, std::string(text) + ": " + shown(a) + " and " + shown(b));
}

/// That the call throws a StoreException of this kind, and nothing else.
void check_throws(const std::function<void()>& call, ErrorCode code, const char* text,
                  const char* file, int line);

}  // namespace parsl_tl::testing

#define CASE(name)                                                       \
  static void name();                                                    \
  static const ::parsl_tl::testing::Case name##_registered(#name, name); \
  static void name()

#define CHECK(condition)                                                                    \
  do {                                                                                      \
    if (!(condition)) ::parsl_tl::testing::fail(__FILE__, __LINE__, "not so: " #condition); \
  } while (false)

#define CHECK_EQ(a, b) ::parsl_tl::testing::check_equal((a), (b), #a " == " #b, __FILE__, __LINE__)

#define CHECK_THROWS(expression, code)                                                         \
  ::parsl_tl::testing::check_throws([&] { static_cast<void>(expression); }, code, #expression, \
                                    __FILE__, __LINE__)
