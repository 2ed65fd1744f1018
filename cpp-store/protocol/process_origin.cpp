#include "process_origin.hpp"

#include <signal.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <sstream>

#include "same_machine.hpp"

namespace parsl_tl {

const std::string& process_space() {
  static const std::string space = [] {
    char name[64];
    const ssize_t length = ::readlink("/proc/self/ns/pid", name, sizeof name);
    if (length <= 0 || boot_id().empty()) return std::string();
    return boot_id() + " " + std::string(name, static_cast<std::size_t>(length));
  }();
  return space;
}

std::optional<std::uint64_t> start_of(std::uint64_t process) {
  const auto number = static_cast<pid_t>(process);
  if (number <= 0 || (::kill(number, 0) != 0 && errno == ESRCH)) return std::nullopt;
  std::ifstream file("/proc/" + std::to_string(number) + "/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  // The name, in brackets, may hold anything. Behind it: the state, and 18 numbers.
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  fields >> field;
  if (field == "Z" || field == "X") return std::nullopt;  // it ended, and its parent has not looked
  for (int i = 0; i < 19; ++i) fields >> field;
  return fields ? std::stoull(field) : 0;
}

}  // namespace parsl_tl
