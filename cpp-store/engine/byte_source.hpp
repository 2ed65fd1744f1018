// Bytes that come one piece after another, as from a network, and are used while they come.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace parsl_tl {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// The next bytes in order, as many as are convenient, valid until the next call. Empty at the
  /// end.
  virtual std::span<const std::uint8_t> take() = 0;
};

/// A source that has to give exactly as many bytes as were announced for a model. Whatever it gives
/// beyond them, or does not give, ends in kInvalidValue.
class AnnouncedBytes {
 public:
  AnnouncedBytes(ByteSource& source, std::uint64_t model_id, std::uint64_t announced)
      : source_(source), model_id_(model_id), announced_(announced) {}

  std::uint64_t announced() const noexcept { return announced_; }
  /// The next bytes: at least one, at most `most`, valid until the next call.
  std::span<const std::uint8_t> next(std::uint64_t most);
  /// The next `size` bytes: as they came where they lie in one piece, otherwise put
  /// together in `memory`, which grows only as they come, whatever was announced.
  std::span<const std::uint8_t> whole(std::uint64_t size, std::vector<std::uint8_t>& memory);
  /// Whether the next call waits for the source, and what it gave before is lost.
  bool is_used_up() const noexcept { return piece_.empty(); }
  /// That everything was taken and nothing more comes.
  void expect_end();

 private:
  [[noreturn]] void refuse(const char* how_many, std::uint64_t came) const;

  ByteSource& source_;
  std::uint64_t model_id_;
  std::uint64_t announced_;
  std::uint64_t taken_ = 0;
  std::span<const std::uint8_t> piece_;  // what is left of it
};

}  // namespace parsl_tl
