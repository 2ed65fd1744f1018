// Processes that are killed at a step of choice: just before they change the file system the n-th
// time, in whichever thread.
#pragma once

#include <functional>

namespace parsl_tl::testing {

struct Death {
  bool came = false;  // false: the work was done, with fewer steps
  int status = 0;     // as waitpid tells it
};

/// Runs the work in a child, with nothing but `_exit` behind it. Steps are counted from the moment
/// on at which the work calls begin_steps(); the first is number 1.
Death die_before_step(int step, const std::function<void()>& work);
void begin_steps();

}  // namespace parsl_tl::testing
