// Who a folder is, and with which others it makes up a store.
#include <unistd.h>

#include <algorithm>

#include "clock.hpp"
#include "engine.hpp"
#include "errors.hpp"

namespace parsl_tl {
namespace {

void require_own_place(const StoreIds& stores, std::uint32_t index, const StoreId& own) {
  if (index >= stores.size()) {
    throw StoreException(ErrorCode::kInvalidValue, "server " + std::to_string(index + 1) + " of " +
                                                       std::to_string(stores.size()));
  }
  if (!(stores[index] == own)) {
    throw StoreException(
        ErrorCode::kWrongStore,
        "this server is store " + own.text() + ", and store " + stores[index].text() + " is meant");
  }
  StoreIds sorted = stores;
  const auto before = [](const StoreId& a, const StoreId& b) { return a.bytes < b.bytes; };
  std::sort(sorted.begin(), sorted.end(), before);
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end()) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "store " + twice->text() + " comes twice; each server has its own");
  }
}

}  // namespace

bool Engine::is_empty() { return refreshed()->catalog.is_empty(); }

void Engine::join(const StoreIds& stores, std::uint32_t index) {
  require_open();
  require_own_place(stores, index, folder_.id());
  const Membership membership{index, static_cast<std::uint32_t>(stores.size())};
  if (folder_.membership() == membership && *folder_.stores() == stores) return;
  require_writable();
  const Turn turn(*this);
  const Membership before = folder_.membership();
  if (!state_.read()->catalog.is_empty()) {
    if (before == membership && *folder_.stores() == stores) return;  // another client was faster
    const bool is_place = before == membership;
    throw StoreException(
        is_place ? ErrorCode::kWrongStore : ErrorCode::kInvalidValue,
        folder_.path() + " holds models as " + before.text() + ", beside stores " +
            text_of(*folder_.stores()) + ", and cannot be " + membership.text() + " of " +
            text_of(stores) +
            (is_place ? "; if servers were replaced on purpose, say so by `parsl-tl store adopt`"
                      : "; name all servers of the store, in the order in which they were named "
                        "when it was made"));
  }
  folder_.set_stores(stores, index);
  State state = load();
  replay_into(state, ~std::size_t{0});
  take(state);
}

Engine::Adoption Engine::adopt(const StoreIds& stores, std::uint32_t index, bool only_look) {
  require_open();
  require_own_place(stores, index, folder_.id());
  const Membership membership{index, static_cast<std::uint32_t>(stores.size())};
  if (is_empty()) {
    if (!only_look) join(stores, index);
    return {};
  }
  require_writable();
  const Turn turn(*this);
  const Membership before = folder_.membership();
  if (!(before == membership)) {
    throw StoreException(ErrorCode::kInvalidValue,
                         folder_.path() + " holds models as " + before.text() + " and cannot be " +
                             membership.text() +
                             ": models are spread by their ids; name as many servers as there "
                             "were, each in its place, an empty one where one is lost");
  }
  const StoreIds old = *folder_.stores();
  const auto is_lost = [&](std::uint64_t model_id) {
    const std::uint32_t place = before.place_of(model_id);
    return place != index && !(old[place] == stores[place]);
  };
  Adoption lost;
  std::vector<Record> records;
  std::vector<std::uint64_t> owners;
  state_.read()->catalog.for_each_holder(false, [&](const Model& model) {
    const bool is_hold = !before.is_home_of(model.id);
    const auto lacks = [&](const LayerRecord& layer) {
      return layer.has_weights && is_lost(layer.owner);
    };
    const bool lacks_layers = std::any_of(model.layers.begin(), model.layers.end(), lacks);
    if (is_hold ? !is_lost(model.id) : !lacks_layers) return;
    (is_hold ? lost.holds : lost.models).push_back(model.id);
    Record record;
    record.operation = Operation::kRetire;
    record.model_id = model.id;
    record.created_ns = now_ns();
    records.push_back(std::move(record));
    for (const LayerRecord& layer : model.layers) {
      if (layer.has_weights && before.is_home_of(layer.owner)) owners.push_back(layer.owner);
    }
  });
  if (only_look) return lost;
  // First what is lost, then who is there: should this end in between, it is to be done again.
  if (!records.empty()) {
    intent_->declare(owners);
    append(std::move(records));
    for (const std::uint64_t owner : owners) {
      if (state_.read()->catalog.segment_bytes(owner) > 0) continue;
      ::unlink(folder_.segment_path(owner).c_str());
    }
    intent_->clear();
  }
  folder_.set_stores(stores, index);
  return lost;
}

void Engine::require_home_is(std::uint64_t model_id, const StoreId& home) const {
  const std::uint32_t place = folder_.membership().place_of(model_id);
  const StoreId known = folder_.stores()->at(place);
  if (home == known) return;
  throw StoreException(
      ErrorCode::kWrongStore,
      "model " + hex_id(model_id) + " belongs on store " + known.text() + ", and not on store " +
          home.text() + "; if servers were replaced on purpose, say so by `parsl-tl store adopt`");
}

void Engine::note_owner_stores(Record& record) const {
  const Membership here = folder_.membership();
  if (here.is_alone()) return;
  const auto stores = folder_.stores();
  std::vector<bool> noted(stores->size());
  for (const LayerRecord& layer : record.layers) {
    const std::uint32_t place = here.place_of(layer.owner);
    if (!layer.has_weights || place == here.index || noted[place]) continue;
    noted[place] = true;
    record.owner_stores.push_back(stores->at(place).text());
  }
}

}  // namespace parsl_tl
