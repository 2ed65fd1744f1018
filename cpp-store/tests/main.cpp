// Runs every case, or those whose names contain one of the arguments.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include "check.hpp"

namespace parsl_tl::testing {
namespace {

struct Known {
  std::string name;
  void (*body)();
};

std::vector<Known>& cases() {
  static std::vector<Known> all;
  return all;
}

constexpr int kMostShown = 20;          // failures of one case; a loop may fail a thousand times
std::atomic<int> failures_of_case = 0;  // cases may have threads

bool is_wanted(const std::string& name, int count, char** parts) {
  for (int i = 0; i < count; ++i) {
    if (name.find(parts[i]) != std::string::npos) return true;
  }
  return count == 0;
}

bool passes(const Known& known) {
  failures_of_case = 0;
  const auto start = std::chrono::steady_clock::now();
  try {
    known.body();
  } catch (const std::exception& error) {
    fail(known.name.c_str(), 0, std::string("thrown: ") + error.what());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%-4s %6.2f s  %s\n", failures_of_case == 0 ? "ok" : "FAIL", took.count(),
              known.name.c_str());
  std::fflush(stdout);
  return failures_of_case == 0;
}

}  // namespace

Case::Case(const char* name, void (*body)()) { cases().push_back({name, body}); }

void fail(const char* file, int line, const std::string& what) {
  if (++failures_of_case > kMostShown) return;
  std::printf("%s:%d: %s\n", file, line, what.c_str());
}

void check_throws(const std::function<void()>& call, ErrorCode code, const char* text,
                  const char* file, int line) {
  try {
    call();
  } catch (const StoreException& error) {
    if (error.code() == code) return;
    return fail(file, line, std::string(text) + " threw: " + error.what());
  } catch (const std::exception& error) {
    return fail(file, line, std::string(text) + " threw no StoreException: " + error.what());
  }
  fail(file, line, std::string(text) + " threw nothing");
}

int run_all(int count, char** parts) {
  int passed = 0;
  int failed = 0;
  for (const Known& known : cases()) {
    if (!is_wanted(known.name, count, parts)) continue;
    ++(passes(known) ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace parsl_tl::testing

int main(int argc, char** argv) {
  // Arrow's own allocator would hide its buffers from the sanitizers.
  ::setenv("ARROW_DEFAULT_MEMORY_POOL", "system", 0);
  return parsl_tl::testing::run_all(argc - 1, argv + 1);
}
