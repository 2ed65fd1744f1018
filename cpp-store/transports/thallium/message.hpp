// What the two sides say to each other in one RPC: arguments there, an answer back.
//
// Both are flat bytes behind a header of fixed size. Whoever reads them trusts nothing: every
// length is compared with what is there before anything is allocated or copied.
//
//   arguments := header | pieces of memory, or where their list lies | request, or its beginning
//                | upload, if it is in the message
//   answer    := header | download, if it is in the message | reply, if it is in the message
//
// Both headers begin with a magic number and the version of this format, whatever follows: another
// version is refused before anything else is read of it, with an answer that has as much of a
// header, and whoever gets that names both versions.
//
// Neither is ever longer than what Mercury sends at once (see Instance::most_in_message): it would
// fetch the rest, whatever its size, before anybody could look at the token in the beginning of the
// request. So everything else lies in memory that the client lays open, and the server moves it
// once it has let the client in.
#pragma once

#include <margo.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "memory_format.hpp"
#include "transport.hpp"

namespace parsl_tl::mochi {

using Bytes = std::span<const std::uint8_t>;

inline Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
/// What the server looks at before anything else.
inline Bytes beginning_of(Bytes request) {
  return request.first(std::min(request.size(), kBeginningBytes));
}

/// The name of the only RPC.
constexpr const char* kRpcName = "parsl_tl";
/// Of this format. Messages of releases that had none say 0.
constexpr std::uint16_t kMessageVersion = 1;
/// More pieces of memory than this are no request of ours: small ones travel together.
constexpr std::size_t kMostPieces = 1 << 18;

constexpr std::uint32_t kArgumentsMagic = 0x41746C70;  // "pltA"
constexpr std::uint32_t kAnswerMagic = 0x52746C70;     // "pltR"

struct Arguments {
  /// The header, in the byte order of the machine: both sides are of one cluster.
  struct Header {
    std::uint32_t magic = kArgumentsMagic;
    std::uint16_t flags = 0;
    std::uint16_t version = kMessageVersion;
    std::uint64_t call = 0;     // its number
    std::uint64_t client = 0;   // who counts the calls
    std::int64_t deadline = 0;  // of the call, in nanoseconds of the server's clock
    std::uint64_t request_size = 0;
    std::uint64_t upload_size = 0;
    std::uint64_t download_size = 0;
    std::uint32_t request_pieces = 0;   // 0: the request is in the message, not only its beginning
    std::uint32_t upload_pieces = 0;    // 0: so is the upload
    std::uint32_t download_pieces = 0;  // 0: the download is to be in the answer
    std::uint32_t list_pieces = 0;      // 0: the pieces of these three are in the message
  };
  static_assert(sizeof(Header) == 72);

  std::uint64_t pieces() const {
    return std::uint64_t{header.request_pieces} + header.upload_pieces + header.download_pieces;
  }

  Header header;
  std::vector<RemotePiece> list_memory;  // where the next three lie, if they are not here
  std::vector<RemotePiece> request_memory;
  std::vector<RemotePiece> upload_memory;
  std::vector<RemotePiece> download_memory;
  Bytes request;  // in the message they came in: all of it, or the beginning
  Bytes upload;
};

/// The flag of a message that is no call: it says that the call of this number is over, and is
/// answered when no transfer of its memory is under way, nor will be.
constexpr std::uint16_t kCloseRegion = 1;
/// The flag of a call that is for the reply of the call of this number, which did not fit into the
/// answer: the reply is its download.
constexpr std::uint16_t kFetchReply = 2;

/// Up to this size a download is a part of the answer.
constexpr std::uint64_t kMostDownloadInAnswer = 2048;

/// Encodes all but the bytes of request and upload, which follow it in the message.
std::string encode_head(const Arguments& arguments);
/// The pieces of request, upload and download, one list behind the other.
std::string encode_pieces(const Arguments& arguments);
/// Refuses what is not exactly one message. What it gives points into `message`.
std::optional<Arguments> decode_arguments(Bytes message);
/// Takes in the pieces that were not in the message. False if these are none.
bool decode_pieces(Bytes list, Arguments& arguments);

enum class Outcome : std::uint16_t {
  kAnswered,
  kRefused,   // arguments that are none
  kStopping,  // the server is about to end
  kLate,      // the deadline has passed: nothing was done
  kGone,      // the request could not be read
  kHeld,      // it is answered, by a reply that is kept for a call with kFetchReply
};

struct Answer {
  struct Header {
    std::uint32_t magic = kAnswerMagic;
    Outcome outcome = Outcome::kAnswered;
    std::uint16_t version = kMessageVersion;
    std::int64_t now = 0;             // by the server's clock
    std::uint64_t sent = 0;           // bytes that were written into the client's memory
    std::uint64_t download_size = 0;  // bytes in the message instead
    std::uint64_t reply_size = 0;     // of one that is kept, too
  };
  static_assert(sizeof(Header) == 40);

  Header header;
  Bytes download;
  Bytes reply;
};

std::string encode_head(const Answer& answer);
/// Throws kFormat for an answer of another version; nothing if it is no answer.
std::optional<Answer> decode_answer(Bytes message);

/// A message as Margo encodes it: these parts, one behind the other.
struct Outgoing {
  std::vector<Bytes> parts;
};
/// And as it decodes it: `read` looks at it in place, and must not throw.
struct Incoming {
  void (*read)(void* reader, Bytes message);
  void* reader;
};
/// For both directions of both messages; `data` is an Outgoing or an Incoming, by what Margo is
/// doing.
hg_return_t process_message(hg_proc_t processor, void* data);

}  // namespace parsl_tl::mochi
