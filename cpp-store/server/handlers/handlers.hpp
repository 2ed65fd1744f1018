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
/// The same of a model of a store that the server follows; throws as FollowedStore::pin does.
OpenModelReply open_followed(CallContext& call, FollowedStore& store, std::uint64_t model_id,
                             std::uint64_t lease);

/// The followed store that a model lives in; null if it lives here, or nowhere.
std::shared_ptr<FollowedStore> followed_store_of(CallContext& call, std::uint64_t model_id);
/// The engine that knows the model best: a copy's if it lives in a followed store, otherwise the
/// server's own.
Engine& engine_of(CallContext& call, std::uint64_t model_id);
/// Of all copies of followed stores.
std::vector<Engine*> followed_engines(CallContext& call);

}  // namespace parsl_tl
