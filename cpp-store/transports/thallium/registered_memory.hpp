// A client's memory, laid open for one call.
//
// Large pieces are registered where they lie. Small ones that follow each other in the stream would
// cost more to register than to copy: they go through buffers that are registered already.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "instance.hpp"
#include "transport.hpp"

namespace parsl_tl::mochi {

class RegisteredMemory {
 public:
  explicit RegisteredMemory(std::shared_ptr<Instance> instance) : instance_(std::move(instance)) {}

  /// Lays open for reading, in the order of the stream.
  std::vector<RemotePiece> for_reading(const ConstPieces& pieces);
  /// Lays open for writing.
  std::vector<RemotePiece> for_writing(const Pieces& pieces);
  /// After everything was written: copies small pieces to where they belong.
  void deliver() const;
  /// Nobody may reach the memory any more, though somebody may still try: forgets its keys.
  void close();

 private:
  struct Copy {
    std::uint8_t* to;
    const std::uint8_t* from;
    std::size_t size;
  };
  /// Where the next bytes of a run of small pieces go; null if no buffer is free.
  std::uint8_t* place(std::size_t size, std::vector<RemotePiece>& described);
  /// `copy` is called with the piece and the place in a buffer that stands for it.
  template <typename Piece, typename MakeCopy>
  std::vector<RemotePiece> lay_open(const std::vector<Piece>& pieces, const MemoryFormat& format,
                                    hg_uint8_t access, MakeCopy make_copy);

  const std::shared_ptr<Instance> instance_;
  std::vector<Bulk> registered_;
  std::vector<std::shared_ptr<Lease>> leases_;
  std::size_t used_of_last_ = 0;  // bytes of the last lease
  bool extends_run_ = false;      // the last piece that was described lies in the last lease
  std::vector<Copy> copies_;      // for deliver()
};

/// Pieces that follow each other in the stream and in memory, as one.
template <typename Piece>
std::vector<Piece> joined(const std::vector<Piece>& pieces) {
  std::vector<Piece> found;
  for (const Piece& piece : pieces) {
    if (piece.empty()) continue;
    if (!found.empty() && found.back().data() + found.back().size() == piece.data()) {
      found.back() = Piece(found.back().data(), found.back().size() + piece.size());
    } else {
      found.push_back(piece);
    }
  }
  return found;
}

/// Up to this size a piece is copied rather than registered.
constexpr std::size_t kSmallPiece = 16 << 10;

}  // namespace parsl_tl::mochi
