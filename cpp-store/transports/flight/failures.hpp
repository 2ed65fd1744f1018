// What a failed Flight call means to the caller of a channel.
#pragma once

#include <arrow/status.h>

#include <string>

#include "errors.hpp"

namespace parsl_tl {

/// kDenied if the two sides do not trust each other, kBusy if the server has too many calls, and
/// kUnreachable for all else: the reply did not come, whatever was the reason.
StoreException flight_failure(const arrow::Status& status, const std::string& address);

/// A stream that does not carry what was agreed on.
StoreException broken_stream(const std::string& address, const std::string& what);

}  // namespace parsl_tl
