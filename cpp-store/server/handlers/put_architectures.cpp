#include "flat_models.hpp"
#include "handlers.hpp"

namespace parsl_tl {

PutArchitecturesReply handle(CallContext& call, const PutArchitecturesRequest& request) {
  for (std::size_t i = 0; i + 1 < request.layer_starts.size(); ++i) {
    // Starts that do not ascend are refused with everything else that does not fit.
    const auto layers = static_cast<std::uint64_t>(request.layer_starts[i + 1]) -
                        static_cast<std::uint64_t>(request.layer_starts[i]);
    call.server.refuse_many_layers(layers);
  }
  call.engine.put_architectures({request.model_ids, request.qualities, request.parents,
                                 request.has_parent, request.layer_starts, request.prefix_hashes,
                                 request.class_ids, request.class_names, request.edge_starts,
                                 request.edges, request.fingerprints});
  return {};
}

}  // namespace parsl_tl
