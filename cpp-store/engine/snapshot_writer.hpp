// Writes a snapshot of a catalog.
#pragma once

#include <atomic>
#include <string>

#include "catalog.hpp"

namespace parsl_tl {

/// Writes what the catalog holds of the log up to the stamp, as a temporary file in `folder`, and
/// gives it the name `path`. False, and nothing is left behind, if `stop` became true. Throws kFull
/// and the like; what was there before stays.
bool write_snapshot(const Catalog& catalog, const LogStamp& stamp, const std::string& folder,
                    const std::string& path, const std::atomic<bool>& stop);

}  // namespace parsl_tl
