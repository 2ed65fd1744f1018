// Counts who stores models by the thousand: until they are done, folding waits for much to fold.
#pragma once

#include <atomic>

namespace parsl_tl {

class BulkWriting {
 public:
  explicit BulkWriting(std::atomic<int>& writers) : writers_(writers) { ++writers_; }
  ~BulkWriting() { --writers_; }
  BulkWriting(const BulkWriting&) = delete;
  BulkWriting& operator=(const BulkWriting&) = delete;

 private:
  std::atomic<int>& writers_;
};

}  // namespace parsl_tl
