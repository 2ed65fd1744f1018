// Work on several threads: all of it is done, once, whoever asks and whatever fails.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "check.hpp"
#include "fanout.hpp"
#include "random.hpp"

namespace parsl_tl::testing {
namespace {

CASE(fanout_does_each_task_once) {
  for (const std::size_t threads : {0, 1, 3, 16}) {
    Fanout fanout(threads);
    for (std::size_t count = 0; count < 40; ++count) {
      std::vector<std::atomic<int>> done(count);
      fanout.run(count, [&](std::size_t i) { ++done[i]; });
      for (const auto& times : done) CHECK_EQ(times.load(), 1);
    }
  }
}

CASE(fanout_works_at_the_same_time) {
  Fanout fanout(8);
  std::atomic<int> waiting = 0;
  // Each waits for all: that ends only if none waits for another's end.
  fanout.run(8, [&](std::size_t) {
    ++waiting;
    while (waiting < 8) std::this_thread::yield();
  });
  CHECK_EQ(waiting.load(), 8);
}

CASE(fanout_works_for_who_asked) {
  const TraceContext mine{{1}, {2}};
  Fanout fanout(4);
  const TraceScope scope(mine);
  std::atomic<int> others = 0;
  fanout.run(40, [&](std::size_t) { others += current_trace() == mine ? 0 : 1; });
  CHECK_EQ(others.load(), 0);
  {
    const TraceScope nobodys({});
    fanout.run(40, [&](std::size_t) { others += current_trace().is_set() ? 1 : 0; });
  }
  CHECK_EQ(others.load(), 0);
  CHECK(current_trace() == mine);
}

CASE(fanout_throws_the_first_error_when_all_is_done) {
  Fanout fanout(4);
  for (std::size_t first = 0; first < 10; ++first) {
    std::atomic<int> done = 0;
    std::string what;
    try {
      fanout.run(10, [&](std::size_t i) {
        ++done;
        if (i >= first) throw std::runtime_error(std::to_string(i));
      });
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    CHECK_EQ(what, std::to_string(first));
    CHECK_EQ(done.load(), 10);
  }
  std::atomic<int> done = 0;
  fanout.run(10, [&](std::size_t) { ++done; });
  CHECK_EQ(done.load(), 10);
}

CASE(fanout_within_fanout) {
  for (const std::size_t threads : {0, 1, 2, 5}) {
    Fanout fanout(threads);
    std::atomic<int> leaves = 0;
    fanout.run(5, [&](std::size_t) {
      fanout.run(4, [&](std::size_t) { fanout.run(3, [&](std::size_t) { ++leaves; }); });
    });
    CHECK_EQ(leaves.load(), 60);
  }
}

CASE(fanout_of_many_callers) {
  Fanout fanout(6);
  std::atomic<std::uint64_t> sum = 0;
  std::atomic<int> errors = 0;
  {
    std::vector<std::jthread> callers;
    for (std::uint64_t caller = 0; caller < 8; ++caller) {
      callers.emplace_back([&, caller] {
        Random random(caller);
        for (int round = 0; round < 200; ++round) {
          const std::size_t count = random.below(7);
          const bool fails = random.chance(0.2) && count > 0;
          try {
            fanout.run(count, [&](std::size_t i) {
              fanout.run(2, [&](std::size_t) { ++sum; });
              if (fails && i + 1 == count) throw std::runtime_error("as it should");
            });
            if (fails) CHECK(!"an error was lost");
          } catch (const std::runtime_error&) {
            ++errors;
          }
        }
      });
    }
  }
  CHECK(sum.load() > 0);
  CHECK(errors.load() > 0);
}

CASE(fanout_where_the_system_gives_no_threads) {
  // Only a process that ends soon is limited so. The superuser knows no such limit.
  const ::pid_t child = ::fork();
  if (child == 0) {
    if (::getuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(0);
    const ::rlimit limit{1, 1};
    if (::setrlimit(RLIMIT_NPROC, &limit) != 0) ::_exit(0);
    Fanout fanout(8);
    std::atomic<int> done = 0;
    for (int i = 0; i < 3; ++i) fanout.run(10, [&](std::size_t) { ++done; });
    ::_exit(done == 30 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace parsl_tl::testing
