// What the home of a model knows about it.
#include "errors.hpp"
#include "remote_store.hpp"
#include "requests/architecture.hpp"
#include "requests/contains.hpp"
#include "requests/count_models.hpp"
#include "requests/describe_model.hpp"
#include "requests/reference_count.hpp"

namespace parsl_tl {

Model RemoteStore::model(std::uint64_t id) {
  require_open();
  DescribeModelReply reply = home(id).ask(DescribeModelRequest{id});
  const std::size_t layers = reply.layer_keys.size();
  if (reply.layer_names.size() != layers || reply.layer_owners.size() != layers) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "malformed reply: a list of layers is shorter than its companions");
  }
  Model model;
  model.id = id;
  model.quality = reply.quality;
  model.parent = reply.parent;
  model.donor = reply.donor;
  model.fingerprint = reply.fingerprint;
  model.created_ns = reply.created_ns;
  model.bytes_owned = reply.bytes_owned;
  model.bytes_total = reply.bytes_total;
  model.attributes = std::move(reply.attributes);
  for (std::size_t i = 0; i < layers; ++i) {
    model.layers.push_back(
        {reply.layer_keys[i], std::move(reply.layer_names[i]), reply.layer_owners[i], 0, false});
  }
  return model;
}

std::string RemoteStore::architecture(std::uint64_t id) {
  require_open();
  return home(id).ask(ArchitectureRequest{id}).architecture;
}

std::uint64_t RemoteStore::reference_count(std::uint64_t owner, std::uint64_t key) {
  require_open();
  return home(owner).ask(ReferenceCountRequest{owner, key}).references;
}

bool RemoteStore::contains(std::uint64_t id) {
  require_open();
  const ContainsReply reply = home(id).ask(ContainsRequest{{id}});
  return reply.found.size() == 1 && reply.found[0] != 0;
}

std::uint64_t RemoteStore::num_models() {
  require_open();
  std::uint64_t sum = 0;
  for (const CountModelsReply& reply : ask_all(CountModelsRequest{})) sum += reply.models;
  return sum;
}

}  // namespace parsl_tl
