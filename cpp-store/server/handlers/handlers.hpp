// What answers each request: one function, in the file of the request's name.
#pragma once

#include "dispatch.hpp"
#include "requests/all.hpp"

namespace parsl_tl {

#define PARSL_TL_HANDLER(Request, name) \
  Request::Reply handle(CallContext& call, const Request& request);
PARSL_TL_REQUESTS(PARSL_TL_HANDLER)
#undef PARSL_TL_HANDLER

/// What OpenModelRequest gives, of a model that was living when it was found a moment ago: retired
/// since, it may be opened still. Throws kNotFound if it is gone.
OpenModelReply open_found(CallContext& call, std::uint64_t model_id, std::uint64_t lease);

}  // namespace parsl_tl
