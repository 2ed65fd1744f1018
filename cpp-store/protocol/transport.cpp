#include "transport.hpp"

namespace parsl_tl {

std::uint64_t size_of(const ConstPieces& pieces) {
  std::uint64_t size = 0;
  for (const auto& piece : pieces) size += piece.size();
  return size;
}

std::uint64_t size_of(const Pieces& pieces) {
  std::uint64_t size = 0;
  for (const auto& piece : pieces) size += piece.size();
  return size;
}

}  // namespace parsl_tl
