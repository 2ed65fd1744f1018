// What a folder has to do with the models of the other servers of its store; see membership.hpp.
//
// Each attempt to store a model has a number. A hold bears the one for which it was taken, and the
// identity of the server on which the model is to live: as long as that one does not say that the
// attempt came to nothing, the hold stays, and only on its word another takes its place. They stand
// where models have their attributes: {"attempt": "<16 digits>", "home": "<32 digits>"}.
#include <unistd.h>

#include <algorithm>
#include <charconv>

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

namespace {

struct HoldNote {
  std::uint64_t attempt = 0;
  StoreId home;
};

constexpr std::string_view kAttempt = "{\"attempt\": \"";
constexpr std::string_view kHome = "\", \"home\": \"";

std::string text_of(const HoldNote& note) {
  return std::string(kAttempt) + hex_id(note.attempt) + std::string(kHome) + note.home.text() +
         "\"}";
}

HoldNote note_of(const Model& hold) {
  std::string_view text = hold.attributes;
  HoldNote note;
  if (!text.starts_with(kAttempt)) return note;
  text.remove_prefix(kAttempt.size());
  std::from_chars(text.data(), text.data() + text.size(), note.attempt, 16);
  const std::size_t home = text.find(kHome);
  if (home == std::string_view::npos) return note;
  note.home = StoreId::parse(text.substr(home + kHome.size(), 32)).value_or(StoreId());
  return note;
}

LayerSum sum_of(const Model& model) {
  LayerSum sum;
  for (const LayerRecord& layer : model.layers) sum.add(layer.key, layer.owner);
  return sum;
}

bool are_same_layers(const std::vector<LayerRecord>& a, const std::vector<LayerRecord>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const LayerRecord& x, const LayerRecord& y) {
                      return x.key == y.key && x.owner == y.owner;
                    });
}

}  // namespace

Engine::HoldResult Engine::hold(const HoldRequest& request) {
  require_open();
  require_writable();
  const std::string who = "hold of model " + hex_id(request.model_id) + ": ";
  parsl_tl::validate(request);

  const Turn turn(*this);
  const Membership here = folder_.membership();
  refuse_if(here.is_home_of(request.model_id), who + "the model itself belongs on " + here.text());
  require_home_is(request.model_id, request.home);
  Record record;
  record.model_id = request.model_id;
  record.created_ns = now_ns();
  record.attributes = text_of(HoldNote{request.attempt, request.home});
  std::vector<std::uint64_t> owners;  // of what was held before
  {
    const View state = state_.read();
    const auto known = state->catalog.find(request.model_id);
    for (std::size_t i = 0; i < request.owners.size(); ++i) {
      const std::uint64_t owner = request.owners[i];
      refuse_if(!here.is_home_of(owner),
                who + hex_id(owner) + " does not belong on " + here.text());
      const auto use = state->catalog.find_layer(owner, request.layer_keys[i]);
      if (!use) throw_gone(request.model_id, request.layer_names[i], owner);
      record.layers.push_back(
          {request.layer_keys[i], request.layer_names[i], owner, use->bytes, true});
    }
    if (known != nullptr) {
      const HoldNote note = note_of(*known);
      const bool is_own = note.attempt == request.attempt;
      if (is_own && are_same_layers(known->layers, record.layers)) return {true, request.attempt};
      if (!is_own && note.attempt != request.replaces) return {false, note.attempt};
      for (const LayerRecord& layer : known->layers) owners.push_back(layer.owner);
    }
  }
  // What only the earlier attempt held goes with it, and maybe the last of a segment.
  if (!owners.empty()) intent_->declare(owners);
  for (const std::uint64_t owner : append({std::move(record)}).dead_segments) {
    ::unlink(folder_.segment_path(owner).c_str());
  }
  if (!owners.empty()) intent_->clear();
  return {true, request.attempt};
}

std::uint64_t Engine::release(std::uint64_t model_id, std::uint64_t attempt, const StoreId& home) {
  require_open();
  require_writable();
  refuse_if(folder_.membership().is_home_of(model_id),
            "model " + hex_id(model_id) + " is no hold here; retire it");
  require_home_is(model_id, home);
  try {
    return retire_holder(model_id, attempt);
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return 0;  // somebody else was faster
  }
}

std::vector<Engine::Hold> Engine::holds() {
  std::vector<Hold> holds;
  const View state = refreshed();
  state->catalog.for_each_holder(false, [&](const Model& model) {
    if (folder_.membership().is_home_of(model.id)) return;
    const HoldNote note = note_of(model);
    holds.push_back({model.id, note.attempt, note.home, sum_of(model)});
  });
  return holds;
}

bool Engine::is_hold_of(const Model& hold, std::uint64_t attempt) {
  return note_of(hold).attempt == attempt;
}

std::vector<Engine::Borrowed> Engine::borrowed() {
  std::vector<Borrowed> all;
  const View state = refreshed();
  const Membership here = folder_.membership();
  state->catalog.for_each_model(false, [&](const Model& model) {
    std::map<std::uint32_t, LayerSum> sums;
    for (const LayerRecord& layer : model.layers) {
      if (!layer.has_weights || here.is_home_of(layer.owner)) continue;
      sums[here.place_of(layer.owner)].add(layer.key, layer.owner);
    }
    for (const auto& [place, sum] : sums) all.push_back({model.id, place, sum});
  });
  return all;
}

std::optional<LayerSum> Engine::borrowed_by(std::uint64_t model_id, std::uint32_t place) {
  const View state = refreshed();
  if (!state->catalog.contains(model_id)) return std::nullopt;
  const Membership here = folder_.membership();
  const auto model = state->catalog.get(model_id);  // keeps what the loop goes through
  LayerSum sum;
  for (const LayerRecord& layer : model->layers) {
    if (layer.has_weights && here.place_of(layer.owner) == place) sum.add(layer.key, layer.owner);
  }
  return sum;
}

}  // namespace parsl_tl
