// What a server did for clients that record spans: a file of OTLP-JSON, one line for each request
// that says whose work it is part of.
//
// A line is whole or, at the very end of the file, torn: a server that is killed leaves all that it
// did until then. A file that cannot be written any more ends the recording, and nothing else.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>

#include "file.hpp"
#include "trace_context.hpp"

namespace parsl_tl {

struct RequestSpan {
  const char* name;  // of the request
  TraceContext parent;
  std::chrono::system_clock::time_point start;
  std::chrono::nanoseconds duration;
  std::uint64_t bulk_bytes = 0;
  bool failed = false;
};

/// Thread-safe.
class SpanLog {
 public:
  /// Appends to a file, which is made if it is not there. `resource` is OTLP's, as JSON: who the
  /// server is. Throws StoreException if the file cannot be opened.
  SpanLog(const std::string& path, std::string resource);

  void add(const RequestSpan& span) noexcept;
  /// Why nothing is recorded any more, once; empty if all is well.
  std::string take_failure();

 private:
  File file_;
  const std::string resource_;
  std::atomic<bool> ended_ = false;
  std::mutex mutex_;  // guards the next
  std::string failure_;
};

}  // namespace parsl_tl
