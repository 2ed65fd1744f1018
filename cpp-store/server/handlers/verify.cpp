#include "handlers.hpp"

namespace parsl_tl {

VerifyReply handle(CallContext& call, const VerifyRequest&) {
  const VerifyReport report = call.engine.verify();
  return {report.models, report.tensors, report.bytes, report.problems};
}

}  // namespace parsl_tl
