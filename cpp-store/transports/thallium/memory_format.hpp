// What a request says about memory of its sender: where it is registered, and what part is meant.
//
// Mercury has a serialized form of its own for this, but reads it back in good faith: a count or a
// length in it that lies makes it read beyond its buffer. So that form never crosses the wire. The
// numbers do, and the receiver puts them into a form that it has made itself: whatever they are,
// Mercury finds a well-formed description, of memory that at worst does not exist.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "handles.hpp"

namespace parsl_tl::mochi {

struct RemotePiece {
  std::uint64_t address = 0;  // where the registered memory begins
  std::uint64_t key = 0;      // and its key
  std::uint64_t offset = 0;   // of the piece in it; some networks count from there, not from zero
  std::uint64_t size = 0;     // of the piece
};

/// How the Mercury at hand serializes one piece of memory: found out from two of our own, by the
/// places where their addresses, sizes and keys stand. Throws kIo if it cannot be found out.
class MemoryFormat {
 public:
  MemoryFormat(margo_instance_id margo, hg_uint8_t access);

  /// Of registered memory in one piece.
  RemotePiece describe(const Bulk& bulk) const;
  /// The sender's registered memory, up to the end of the piece, for transfers. Throws kUnreachable
  /// if there can be no such memory.
  Bulk adopt(const RemotePiece& piece) const;

 private:
  using Words = std::vector<std::uint64_t>;

  Words serialized(const Bulk& bulk) const;
  Words filled(std::uint64_t address, std::uint64_t size, std::uint64_t key) const;

  margo_instance_id margo_;
  std::size_t bytes_ = 0;  // of the serialized form
  Words form_;             // with zeros where the three stand
  std::vector<std::size_t> addresses_;
  std::vector<std::size_t> sizes_;
  std::vector<std::size_t> keys_;
};

/// Registers memory in one piece. Throws kIo if that cannot be done.
Bulk register_memory(margo_instance_id margo, const void* data, std::size_t size,
                     hg_uint8_t access);

}  // namespace parsl_tl::mochi
