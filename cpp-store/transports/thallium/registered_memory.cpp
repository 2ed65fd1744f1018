#include "registered_memory.hpp"

#include <algorithm>

namespace parsl_tl::mochi {

std::uint8_t* RegisteredMemory::place(std::size_t size, std::vector<RemotePiece>& described) {
  if (leases_.empty() || used_of_last_ + size > kPartBytes) {
    auto lease = instance_->buffers().try_take();
    if (!lease) return nullptr;
    leases_.push_back(std::move(lease));
    used_of_last_ = 0;
    extends_run_ = false;
  }
  const Lease& lease = *leases_.back();
  if (!extends_run_) {
    described.push_back(lease.piece());
    described.back().offset = used_of_last_;
    described.back().size = 0;
    extends_run_ = true;
  }
  described.back().size += size;
  std::uint8_t* found = lease.data() + used_of_last_;
  used_of_last_ += size;
  return found;
}

template <typename Piece, typename MakeCopy>
std::vector<RemotePiece> RegisteredMemory::lay_open(const std::vector<Piece>& pieces,
                                                    const MemoryFormat& format, hg_uint8_t access,
                                                    MakeCopy make_copy) {
  std::vector<RemotePiece> described;
  extends_run_ = false;
  for (const Piece& piece : joined(pieces)) {
    std::uint8_t* found = piece.size() <= kSmallPiece ? place(piece.size(), described) : nullptr;
    if (found != nullptr) {
      make_copy(piece, found);
      continue;
    }
    registered_.push_back(register_memory(instance_->margo(), piece.data(), piece.size(), access));
    described.push_back(format.describe(registered_.back()));
    extends_run_ = false;
  }
  return described;
}

std::vector<RemotePiece> RegisteredMemory::for_reading(const ConstPieces& pieces) {
  return lay_open(pieces, instance_->to_read(), HG_BULK_READ_ONLY,
                  [](std::span<const std::uint8_t> piece, std::uint8_t* found) {
                    std::copy(piece.begin(), piece.end(), found);
                  });
}

std::vector<RemotePiece> RegisteredMemory::for_writing(const Pieces& pieces) {
  return lay_open(pieces, instance_->to_write(), HG_BULK_WRITE_ONLY,
                  [this](std::span<std::uint8_t> piece, std::uint8_t* found) {
                    copies_.push_back({piece.data(), found, piece.size()});
                  });
}

void RegisteredMemory::deliver() const {
  for (const Copy& copy : copies_) std::copy_n(copy.from, copy.size, copy.to);
}

void RegisteredMemory::close() {
  registered_.clear();
  for (const auto& lease : leases_) lease->condemn();
  leases_.clear();
}

}  // namespace parsl_tl::mochi
