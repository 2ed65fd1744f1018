#include "compression.hpp"

#include <arrow/result.h>
#include <arrow/util/compression.h>

#include "errors.hpp"

namespace parsl_tl {
namespace {

// A directory may claim any size; nothing is allocated that no input of this length can hold.
constexpr std::uint64_t kMostExpansion = 1 << 16;

std::unique_ptr<arrow::util::Codec> codec_of(Codec codec) {
  auto made = codec == Codec::kLz4 ? arrow::util::Codec::Create(arrow::Compression::LZ4)
                                   : arrow::util::Codec::Create(arrow::Compression::ZSTD, 1);
  if (!made.ok()) throw StoreException(ErrorCode::kIo, made.status().ToString());
  return std::move(*made);
}

}  // namespace

std::string name_of(Codec codec) {
  switch (codec) {
    case Codec::kRaw:
      return "none";
    case Codec::kLz4:
      return "lz4";
    case Codec::kZstd:
      return "zstd";
  }
  return "unknown";
}

std::optional<Codec> codec_named(const std::string& name) {
  for (const Codec codec : {Codec::kRaw, Codec::kLz4, Codec::kZstd}) {
    if (name == name_of(codec)) return codec;
  }
  return std::nullopt;
}

bool compress(Codec codec, std::span<const std::uint8_t> bytes, std::vector<std::uint8_t>& out) {
  const auto engine = codec_of(codec);
  const auto size = static_cast<std::int64_t>(bytes.size());
  out.resize(static_cast<std::size_t>(engine->MaxCompressedLen(size, bytes.data())));
  const auto used =
      engine->Compress(size, bytes.data(), static_cast<std::int64_t>(out.size()), out.data());
  if (!used.ok()) throw StoreException(ErrorCode::kIo, used.status().ToString());
  out.resize(static_cast<std::size_t>(*used));
  return out.size() < bytes.size() - bytes.size() / 20;
}

bool decompress(Codec codec, std::span<const std::uint8_t> bytes, std::uint64_t size,
                std::vector<std::uint8_t>& out) {
  if (size / kMostExpansion > bytes.size()) return false;
  out.resize(size);
  const auto got =
      codec_of(codec)->Decompress(static_cast<std::int64_t>(bytes.size()), bytes.data(),
                                  static_cast<std::int64_t>(size), out.data());
  if (got.ok() && static_cast<std::uint64_t>(*got) == size) return true;
  out.clear();
  return false;
}

}  // namespace parsl_tl
