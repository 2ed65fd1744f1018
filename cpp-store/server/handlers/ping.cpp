#include "handlers.hpp"

namespace parsl_tl {

PingReply handle(CallContext&, const PingRequest&) { return {}; }

}  // namespace parsl_tl
