// The file that holds what a model owns.
#pragma once

#include <fcntl.h>

#include <optional>

#include "engine.hpp"

namespace parsl_tl {

/// Nothing if it is not there: the model owns no tensors, or nobody holds them any more.
inline std::optional<File> owned_file(const Engine& engine, std::uint64_t owner) {
  try {
    return File(engine.segment_file(owner), O_RDONLY);
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return std::nullopt;
  }
}

}  // namespace parsl_tl
