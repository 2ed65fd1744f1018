#include "span_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <span>

#include "errors.hpp"

namespace parsl_tl {
namespace {

using std::chrono::nanoseconds;

// OTLP's numbers.
constexpr char kServerKind[] = "2";
constexpr char kErrorStatus[] = "2";

void append_hex(std::string& text, std::span<const std::uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
}

std::array<std::uint8_t, 8> new_span_id() {
  thread_local std::mt19937_64 random{(std::uint64_t{std::random_device{}()} << 32) |
                                      std::random_device{}()};
  const std::uint64_t number = random() | 1;  // zeros are none
  std::array<std::uint8_t, 8> id;
  std::memcpy(id.data(), &number, id.size());
  return id;
}

std::string line_of(const RequestSpan& span, const std::string& resource) {
  const auto start = std::chrono::duration_cast<nanoseconds>(span.start.time_since_epoch());
  std::string line;
  line.reserve(512 + resource.size());
  line.append(R"({"resourceSpans":[{"resource":)").append(resource);
  line.append(R"(,"scopeSpans":[{"scope":{"name":"parsl_tl.store"},"spans":[{"traceId":")");
  append_hex(line, span.parent.trace);
  line.append(R"(","spanId":")");
  append_hex(line, new_span_id());
  line.append(R"(","parentSpanId":")");
  append_hex(line, span.parent.span);
  line.append(R"(","name":")").append(span.name);
  line.append(R"(","kind":)").append(kServerKind);
  line.append(R"(,"startTimeUnixNano":")").append(std::to_string(start.count()));
  line.append(R"(","endTimeUnixNano":")").append(std::to_string((start + span.duration).count()));
  line.append(R"(","attributes":[{"key":"bytes","value":{"intValue":")");
  line.append(std::to_string(span.bulk_bytes)).append(R"("}}],"status":{)");
  if (span.failed) line.append(R"("code":)").append(kErrorStatus);
  return line.append("}}]}]}]}\n");
}

}  // namespace

SpanLog::SpanLog(const std::string& path, std::string resource)
    : file_(path, O_WRONLY | O_CREAT | O_APPEND), resource_(std::move(resource)) {}

void SpanLog::add(const RequestSpan& span) noexcept {
  if (ended_) return;
  try {
    const std::string line = line_of(span, resource_);
    ::ssize_t written = 0;
    do {
      // In one call, so that lines of several threads do not mix.
      written = ::write(file_.fd(), line.data(), line.size());
    } while (written < 0 && errno == EINTR);
    if (written == static_cast<::ssize_t>(line.size())) return;
    const int why = written < 0 ? errno : ENOSPC;
    if (ended_.exchange(true)) return;
    const std::lock_guard guard(mutex_);
    failure_ =
        file_.path() + " cannot be written: " + std::strerror(why) + "; no more spans are recorded";
  } catch (const std::exception&) {
    ended_ = true;  // no memory, for a line of some hundred bytes
  }
}

std::string SpanLog::take_failure() {
  const std::lock_guard guard(mutex_);
  return std::exchange(failure_, {});
}

}  // namespace parsl_tl
