// What a server holds for a model of another one.
#pragma once

#include "put_request.hpp"
#include "remote_store.hpp"

namespace parsl_tl {

struct RemoteStore::ServerHold {
  std::uint32_t server = 0;
  std::uint64_t model_id = 0;
  std::uint64_t attempt = 0;
  LayerSum layers{};
  StoreId home{};
};

}  // namespace parsl_tl
