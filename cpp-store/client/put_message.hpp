// What a client says of a model that it stores; the tensors' bytes travel beside it.
#pragma once

#include <vector>

#include "put_request.hpp"
#include "requests/put.hpp"

namespace parsl_tl {

/// The tensors as they are sent and stored.
std::vector<const TensorArgument*> in_order_of_layers(const PutRequest& request);

PutMessage message_of(const PutRequest& request, const std::vector<const TensorArgument*>& tensors);

}  // namespace parsl_tl
