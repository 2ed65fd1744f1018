#include "message.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

#include "errors.hpp"

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

/// Whether the pieces, if there are any, are exactly this number of bytes, none of them nowhere.
bool add_up(const std::vector<RemotePiece>& pieces, std::uint64_t size) {
  if (pieces.empty()) return true;
  for (const RemotePiece& piece : pieces) {
    const bool is_nowhere =
        piece.address == 0 || piece.size == 0 || piece.offset + piece.size < piece.size;
    if (is_nowhere || piece.size > size) return false;
    size -= piece.size;
  }
  return size == 0;
}

bool take_pieces(Reader& reader, Arguments& found) {
  const auto& header = found.header;
  return reader.take(found.request_memory, header.request_pieces) &&
         reader.take(found.upload_memory, header.upload_pieces) &&
         reader.take(found.download_memory, header.download_pieces) &&
         add_up(found.request_memory, header.request_size) &&
         add_up(found.upload_memory, header.upload_size) &&
         add_up(found.download_memory, header.download_size);
}

/// Whether there is a list of pieces, and none in it is too long.
bool has_list(const Arguments::Header& header) {
  const std::uint32_t longest =
      std::max({header.request_pieces, header.upload_pieces, header.download_pieces});
  return longest > 0 && longest <= kMostPieces;
}

void refuse_version(Bytes message) {
  struct {
    std::uint32_t magic;
    Outcome outcome;
    std::uint16_t version;
  } beginning;
  static_assert(sizeof beginning == offsetof(Answer::Header, now));
  if (!Reader(message).take(beginning) || beginning.magic != kAnswerMagic ||
      beginning.version == kMessageVersion) {
    return;
  }
  throw StoreException(ErrorCode::kFormat,
                       "the server speaks version " + std::to_string(beginning.version) +
                           " of the messages over Thallium, this client version " +
                           std::to_string(kMessageVersion) +
                           "; install the same parsl_tl on both sides");
}

}  // namespace

std::string encode_head(const Arguments& arguments) {
  std::string head(reinterpret_cast<const char*>(&arguments.header), sizeof(Arguments::Header));
  append(head, arguments.list_memory);
  if (arguments.list_memory.empty()) head += encode_pieces(arguments);
  return head;
}

std::string encode_pieces(const Arguments& arguments) {
  std::string list;
  append(list, arguments.request_memory);
  append(list, arguments.upload_memory);
  append(list, arguments.download_memory);
  return list;
}

std::optional<Arguments> decode_arguments(Bytes message) {
  Arguments found;
  Reader reader(message);
  const auto& header = found.header;
  if (!reader.take(found.header) || header.magic != kArgumentsMagic ||
      header.version != kMessageVersion || header.request_size > kMostMessageBytes) {
    return std::nullopt;
  }
  // What is to be in the answer has to fit there.
  if (header.download_pieces == 0 && header.download_size > kMostDownloadInAnswer) {
    return std::nullopt;
  }
  const std::uint64_t request_bytes =
      header.request_pieces == 0 ? header.request_size
                                 : std::min<std::uint64_t>(header.request_size, kBeginningBytes);
  const bool is_whole =
      (header.list_pieces == 0
           ? take_pieces(reader, found)
           : has_list(header) && reader.take(found.list_memory, header.list_pieces) &&
                 add_up(found.list_memory, found.pieces() * sizeof(RemotePiece))) &&
      reader.take(found.request, request_bytes) &&
      reader.take(found.upload, header.upload_pieces == 0 ? header.upload_size : 0) &&
      reader.is_at_end();
  return is_whole ? std::optional(std::move(found)) : std::nullopt;
}

bool decode_pieces(Bytes list, Arguments& arguments) {
  Reader reader(list);
  return take_pieces(reader, arguments) && reader.is_at_end();
}

std::string encode_head(const Answer& answer) {
  return std::string(reinterpret_cast<const char*>(&answer.header), sizeof(Answer::Header));
}

std::optional<Answer> decode_answer(Bytes message) {
  Answer found;
  Reader reader(message);
  const auto& header = found.header;
  refuse_version(message);
  const bool is_whole =
      reader.take(found.header) && header.magic == kAnswerMagic &&
      reader.take(found.download, header.download_size) &&
      reader.take(found.reply, header.outcome == Outcome::kHeld ? 0 : header.reply_size) &&
      reader.is_at_end();
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
        result =
            hg_proc_memcpy(processor, const_cast<std::uint8_t*>(parts[i].data()), parts[i].size());
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
