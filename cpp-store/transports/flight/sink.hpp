// The client's end of a download.
#pragma once

#include <arrow/buffer.h>

#include <string>

#include "transport.hpp"

namespace parsl_tl {

/// Hands on the parts of a stream in their order, and writes those that are not kept.
class Sink {
 public:
  Sink(Download& download, std::string address)
      : download_(download), address_(std::move(address)), size_(download.size()) {}

  /// Throws kUnreachable if that is more than was expected.
  void take(const std::shared_ptr<arrow::Buffer>& part);
  /// Throws kUnreachable unless everything came, or nothing: a server that has nothing to send says
  /// why in its reply.
  void finish() const;

 private:
  void write(const arrow::Buffer& part);

  Download& download_;
  std::string address_;
  std::uint64_t size_;
  std::uint64_t offset_ = 0;
  std::size_t piece_ = 0;          // that the next byte belongs to, or one before it
  std::uint64_t piece_start_ = 0;  // its place in the stream
};

}  // namespace parsl_tl
