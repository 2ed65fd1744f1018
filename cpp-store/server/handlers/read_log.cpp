#include "handlers.hpp"

namespace parsl_tl {

ReadLogReply handle(CallContext& call, const ReadLogRequest& request) {
  if (call.bulk_bytes > kMostMessageBytes) {
    throw StoreException(ErrorCode::kInvalidValue,
                         std::to_string(call.bulk_bytes) + " bytes of the log at once; at most " +
                             std::to_string(kMostMessageBytes) + " are sent");
  }
  const auto bytes = std::make_shared<const std::vector<std::uint8_t>>(
      call.engine.read_log(request.generation, request.position, call.bulk_bytes));
  call.exchange.send({std::span(*bytes)}, bytes);
  call.server.count_sent(bytes->size());
  return {};
}

}  // namespace parsl_tl
