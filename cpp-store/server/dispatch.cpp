#include "dispatch.hpp"

#include <algorithm>

#include "errors.hpp"
#include "handlers/handlers.hpp"

namespace parsl_tl {
namespace {

template <typename Request>
std::string answer(CallContext& call, std::span<const std::uint8_t> message) {
  std::string reply = start_reply();
  encode_message(handle(call, decode_message<Request>(message)), reply);
  return reply;
}

template <typename Request>
RequestEntry entry(const char* name) {
  return {Request::kKind, name, &answer<Request>, 0, requires { Request::kMayStandIn; }};
}

}  // namespace

const std::vector<RequestEntry>& all_requests() {
  static const auto table = [] {
#define PARSL_TL_ENTRY(Request, name) entry<Request>(name),
    std::vector<RequestEntry> made{PARSL_TL_REQUESTS(PARSL_TL_ENTRY)};
#undef PARSL_TL_ENTRY
    for (std::size_t i = 0; i < made.size(); ++i) made[i].place = i;
    return made;
  }();
  return table;
}

const RequestEntry& find_request(RequestKind kind) {
  const auto& table = all_requests();
  const auto found = std::find_if(table.begin(), table.end(),
                                  [kind](const RequestEntry& entry) { return entry.kind == kind; });
  if (found == table.end()) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "unknown request " + std::to_string(static_cast<unsigned>(kind)));
  }
  return *found;
}

}  // namespace parsl_tl
