#include "message.hpp"

#include <cstring>

namespace parsl_tl::mochi {
namespace {

/// Takes parts off the front of a message.
class Reader {
 public:
  explicit Reader(Bytes left) : left_(left) {}

  template <typename T>
  bool take(T& value) {
    if (left_.size() < sizeof(T)) return false;
    std::memcpy(&value, left_.data(), sizeof(T));
    left_ = left_.subspan(sizeof(T));
    return true;
  }

  bool take(std::vector<RemotePiece>& pieces, std::uint32_t count) {
    if (count > kMostPieces || left_.size() / sizeof(RemotePiece) < count) return false;
    pieces.resize(count);
    const std::size_t bytes = count * sizeof(RemotePiece);
    if (count > 0) std::memcpy(pieces.data(), left_.data(), bytes);
    left_ = left_.subspan(bytes);
    return true;
  }

  bool take(Bytes& bytes, std::uint64_t size) {
    if (left_.size() < size) return false;
    bytes = left_.first(size);
    left_ = left_.subspan(size);
    return true;
  }

  bool is_at_end() const { return left_.empty(); }

 private:
  Bytes left_;
};

void append(std::string& head, const std::vector<RemotePiece>& pieces) {
  head.append(reinterpret_cast<const char*>(pieces.data()), pieces.size() * sizeof(RemotePiece));
}

/// Whether the pieces, if there are any, are exactly so many bytes, none of them nowhere.
bool add_up(const std::vector<RemotePiece>& pieces, std::uint64_t size) {
  if (pieces.empty()) return true;
  for (const RemotePiece& piece : pieces) {
    const bool is_nowhere = piece.address == 0 || piece.size == 0 ||
                            piece.offset + piece.size < piece.size;
    if (is_nowhere || piece.size > size) return false;
    size -= piece.size;
  }
  return size == 0;
}

}  // namespace

std::string encode_head(const Arguments& arguments) {
  std::string head(reinterpret_cast<const char*>(&arguments.header), sizeof(Arguments::Header));
  append(head, arguments.request_memory);
  append(head, arguments.upload_memory);
  append(head, arguments.download_memory);
  return head;
}

std::optional<Arguments> decode_arguments(Bytes message) {
  Arguments found;
  Reader reader(message);
  const auto& header = found.header;
  const auto in_message = [](std::uint32_t pieces, std::uint64_t size) {
    return pieces == 0 ? size : 0;
  };
  const bool is_whole =
      reader.take(found.header) && header.magic == kArgumentsMagic &&
      header.request_size <= kMostMessageBytes &&
      reader.take(found.request_memory, header.request_pieces) &&
      reader.take(found.upload_memory, header.upload_pieces) &&
      reader.take(found.download_memory, header.download_pieces) &&
      reader.take(found.request, in_message(header.request_pieces, header.request_size)) &&
      reader.take(found.upload, in_message(header.upload_pieces, header.upload_size)) &&
      reader.is_at_end();
  if (!is_whole || !add_up(found.request_memory, header.request_size) ||
      !add_up(found.upload_memory, header.upload_size) ||
      !add_up(found.download_memory, header.download_size)) {
    return std::nullopt;
  }
  // What is to be in the answer has to fit there.
  if (header.download_pieces == 0 && header.download_size > kMostMessageBytes) return std::nullopt;
  return found;
}

std::string encode_head(const Answer& answer) {
  return std::string(reinterpret_cast<const char*>(&answer.header), sizeof(Answer::Header));
}

std::optional<Answer> decode_answer(Bytes message) {
  Answer found;
  Reader reader(message);
  const bool is_whole = reader.take(found.header) && found.header.magic == kAnswerMagic &&
                        reader.take(found.download, found.header.download_size) &&
                        reader.take(found.reply, found.header.reply_size) && reader.is_at_end();
  return is_whole ? std::optional(found) : std::nullopt;
}

hg_return_t process_message(hg_proc_t processor, void* data) {
  std::uint64_t size = 0;
  switch (hg_proc_get_op(processor)) {
    case HG_ENCODE: {
      const auto& parts = static_cast<const Outgoing*>(data)->parts;
      for (const Bytes part : parts) size += part.size();
      hg_return_t result = hg_proc_uint64_t(processor, &size);
      for (std::size_t i = 0; i < parts.size() && result == HG_SUCCESS; ++i) {
        if (parts[i].empty()) continue;
        result = hg_proc_memcpy(processor, const_cast<std::uint8_t*>(parts[i].data()),
                                parts[i].size());
      }
      return result;
    }
    case HG_DECODE: {
      if (hg_proc_get_size_left(processor) < sizeof(size)) return HG_PROTOCOL_ERROR;
      const hg_return_t result = hg_proc_uint64_t(processor, &size);
      if (result != HG_SUCCESS) return result;
      // Mercury would make its buffer larger, with whatever is in that memory.
      if (hg_proc_get_size_left(processor) < size) return HG_PROTOCOL_ERROR;
      const void* start = size > 0 ? hg_proc_save_ptr(processor, size) : nullptr;
      if (size > 0 && start == nullptr) return HG_PROTOCOL_ERROR;
      const auto* incoming = static_cast<const Incoming*>(data);
      incoming->read(incoming->reader, {static_cast<const std::uint8_t*>(start), size});
      if (size > 0) hg_proc_restore_ptr(processor, const_cast<void*>(start), size);
      return HG_SUCCESS;
    }
    default:
      return HG_SUCCESS;
  }
}

}  // namespace parsl_tl::mochi
