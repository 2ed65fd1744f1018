#include "death_by_step.hpp"

#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <system_error>

namespace parsl_tl::testing {
namespace {

constexpr int kAtSystemCall = SIGTRAP | 0x80;  // with PTRACE_O_TRACESYSGOOD

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

bool changes_files(const __ptrace_syscall_info& call) {
  static const std::set<std::uint64_t> kChanges{
      SYS_write,   SYS_pwrite64,  SYS_writev,   SYS_pwritev,         SYS_fallocate, SYS_ftruncate,
      SYS_fsync,   SYS_fdatasync, SYS_renameat, SYS_renameat2,       SYS_unlinkat,  SYS_linkat,
      SYS_mkdirat, SYS_fchmod,    SYS_fchown,   SYS_copy_file_range,
#ifdef SYS_rename  // newer machines have only those that name a folder
      SYS_rename,  SYS_unlink,    SYS_link,     SYS_mkdir,           SYS_rmdir,
#endif
  };
  if (call.entry.nr == SYS_openat) return (call.entry.args[2] & O_CREAT) != 0;
  return kChanges.contains(call.entry.nr);
}

/// Whether the thread, which was stopped at a system call, is about to change a file.
bool is_at_step(::pid_t thread) {
  __ptrace_syscall_info call{};
  return ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof call, &call) > 0 &&
         call.op == PTRACE_SYSCALL_INFO_ENTRY && changes_files(call);
}

/// The signal that a stopped thread is to get: none where the stop was only the tracer's.
int signal_to_pass(int status) {
  const int signal = WSTOPSIG(status);
  const bool is_tracers = signal == kAtSystemCall || signal == SIGSTOP || status >> 16 != 0;
  return is_tracers ? 0 : signal;
}

}  // namespace

void begin_steps() { ::raise(SIGSTOP); }

Death die_before_step(int step, const std::function<void()>& work) {
  const ::pid_t child = ::fork();
  if (child < 0) fail("no child");
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(126);
    ::raise(SIGSTOP);
    try {
      work();
    } catch (const std::exception&) {
      ::_exit(125);
    }
    ::_exit(0);
  }
  Death death;
  if (::waitpid(child, &death.status, 0) != child || !WIFSTOPPED(death.status)) {
    fail("a child cannot be traced");
  }
  constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, kOptions);
  ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  for (bool has_begun = false;;) {
    int status = 0;
    const ::pid_t thread = ::waitpid(-1, &status, __WALL);
    if (thread < 0) fail("the child is gone");
    if (!WIFSTOPPED(status)) {
      if (thread != child) continue;  // the end of a thread
      death.status = status;
      return death;
    }
    if (thread == child && WSTOPSIG(status) == SIGSTOP && status >> 16 == 0) has_begun = true;
    if (has_begun && WSTOPSIG(status) == kAtSystemCall && is_at_step(thread) && --step == 0) {
      death.came = true;
      ::kill(child, SIGKILL);
    }
    ::ptrace(PTRACE_SYSCALL, thread, nullptr, static_cast<long>(signal_to_pass(status)));
  }
}

}  // namespace parsl_tl::testing
