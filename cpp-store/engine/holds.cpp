// What a folder has to do with the other servers of its store; see membership.hpp.
#include <algorithm>

#include "clock.hpp"
#include "engine.hpp"
#include "errors.hpp"

namespace parsl_tl {
namespace {

[[noreturn]] void throw_gone(std::uint64_t model, const std::string& layer, std::uint64_t owner) {
  throw StoreException(ErrorCode::kDonorGone, "model " + hex_id(model) + " cannot inherit layer " +
                                                  layer + " of " + hex_id(owner) +
                                                  ", which was freed; store all of its weights");
}

void refuse_if(bool wrong, const std::string& why) {
  if (wrong) throw StoreException(ErrorCode::kInvalidValue, why);
}

}  // namespace

void Engine::inherit_named(const PutRequest& request, Record& record, PutResult& result) const {
  const View state = state_.read();
  for (const InheritedLayer& inherited : *request.inherited) {
    LayerRecord& layer = record.layers.at(inherited.layer);
    std::uint64_t bytes = inherited.bytes;
    if (folder_.membership().is_home_of(inherited.owner)) {
      const auto use = state->catalog.find_layer(inherited.owner, layer.key);
      if (!use) throw_gone(request.model_id, layer.name, inherited.owner);
      bytes = use->bytes;
    }
    layer.owner = inherited.owner;
    layer.bytes = bytes;
    layer.has_weights = true;
    ++result.layers_inherited;
  }
}

bool Engine::is_empty() { return refreshed()->catalog.is_empty(); }

void Engine::set_membership(const Membership& membership) {
  require_open();
  if (folder_.membership() == membership) return;
  require_writable();
  const Turn turn(*this);
  const Membership before = folder_.membership();
  if (before == membership) return;  // another client was faster
  refuse_if(!state_.read()->catalog.is_empty(),
            folder_.path() + " holds models as " + before.text() + " and cannot be " +
                membership.text() +
                "; name all servers of the store, in the order in which they were named when it "
                "was made");
  folder_.set_membership(membership);
  State state = load();
  replay_into(state, ~std::size_t{0});
  take(state);
}

bool Engine::hold(const HoldRequest& request) {
  require_open();
  require_writable();
  const std::string who = "hold of model " + hex_id(request.model_id) + ": ";
  parsl_tl::validate(request);

  const Turn turn(*this);
  const Membership here = folder_.membership();
  refuse_if(here.is_home_of(request.model_id), who + "the model itself belongs on " + here.text());
  Record record;
  record.model_id = request.model_id;
  record.created_ns = now_ns();
  record.attributes = "{}";
  {
    const View state = state_.read();
    const auto known = state->catalog.find(request.model_id);
    for (std::size_t i = 0; i < request.owners.size(); ++i) {
      const std::uint64_t owner = request.owners[i];
      refuse_if(!here.is_home_of(owner), who + hex_id(owner) + " does not belong on " + here.text());
      const auto use = state->catalog.find_layer(owner, request.layer_keys[i]);
      if (!use) throw_gone(request.model_id, request.layer_names[i], owner);
      record.layers.push_back({request.layer_keys[i], request.layer_names[i], owner, use->bytes, true});
    }
    if (known != nullptr) {
      const bool same = known->layers.size() == record.layers.size() &&
                        std::equal(known->layers.begin(), known->layers.end(), record.layers.begin(),
                                   [](const LayerRecord& a, const LayerRecord& b) {
                                     return a.key == b.key && a.owner == b.owner;
                                   });
      if (same) return false;
      throw StoreException(ErrorCode::kExists,
                           who + "an earlier attempt to store it holds other layers; use another "
                                 "id, or compact the store after ten minutes");
    }
  }
  append({std::move(record)});
  return true;
}

std::uint64_t Engine::release(std::uint64_t model_id) {
  require_open();
  require_writable();
  refuse_if(folder_.membership().is_home_of(model_id),
            "model " + hex_id(model_id) + " is no hold here; retire it");
  if (!refreshed()->catalog.is_living(model_id)) return 0;
  try {
    return retire_holder(model_id);
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return 0;  // somebody else was faster
  }
}

std::vector<Engine::Hold> Engine::holds() {
  std::vector<Hold> holds;
  const View state = refreshed();
  state->catalog.for_each_holder(false, [&](const Model& model) {
    if (!folder_.membership().is_home_of(model.id)) holds.push_back({model.id, model.created_ns});
  });
  return holds;
}

}  // namespace parsl_tl
