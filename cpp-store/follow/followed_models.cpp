// The models of a followed store: found, read, retired.
#include "errors.hpp"
#include "followed_store.hpp"

namespace parsl_tl {
namespace {

constexpr int kPinAttempts = 3;
constexpr std::uint64_t kLastSequence = ~std::uint64_t{0};

}  // namespace

void FollowedStore::improve_donors(const std::vector<Query>& queries, std::span<Donor> donors) {
  const auto known = copies();
  if (known == nullptr) return;
  for (const auto& copy : *known) {
    // Which of two servers' models was stored last, their sequences do not tell: the first stays.
    for (Donor& donor : donors) donor.sequence = kLastSequence;
    copy->engine().improve_donors(queries, donors, 1);
  }
}

ServerCopy* FollowedStore::holder_of(std::uint64_t id) {
  const auto known = copies();
  if (known == nullptr) return nullptr;
  ServerCopy* const copy = (*known)[id % known->size()].get();
  return copy->engine().contains(id) ? copy : nullptr;
}

ServerCopy* FollowedStore::copy_of(const StoreId& server) {
  const auto known = copies();
  if (known == nullptr) return nullptr;
  for (const auto& copy : *known) {
    if (copy->engine().store() == server) return copy.get();
  }
  return nullptr;
}

ServerCopy* FollowedStore::copy_at(std::size_t place, std::size_t count) {
  const auto known = copies();
  if (known == nullptr || known->size() != count || place >= count) return nullptr;
  return (*known)[place].get();
}

/// Of the whole model, or of what one server has of it.
FollowedStore::Needed FollowedStore::needed_by(Copies& copies, std::uint64_t id,
                                               std::optional<std::size_t> place) {
  Needed needed;
  needed.at = place.value_or(id % copies.size());
  const Model model = copies[needed.at]->engine().model(id);  // kNotFound
  std::vector<Owners> owners(copies.size());
  for (const LayerRecord& layer : model.layers) {
    if (layer.has_weights) owners[layer.owner % copies.size()].insert(layer.owner);
  }
  for (std::size_t i = 0; i < owners.size(); ++i) {
    if (owners[i].empty() || (place && i != *place)) continue;
    needed.uses.push_back({&copies[i]->engine(), std::move(owners[i])});
    needed.copies.push_back(copies[i].get());
  }
  return needed;
}

/// Null if a segment is not here.
std::shared_ptr<PinnedModel> FollowedStore::pin_here(Copies& copies, const Needed& needed,
                                                     std::uint64_t id, bool is_whole) {
  std::shared_ptr<PinnedModel> pinned;
  pulled_.use(needed.uses, [&] {
    pinned = copies[needed.at]->engine().pin(id);
    if (!is_whole || copies.size() == 1) return;
    // Layers that live on another server of that store are in another copy.
    auto whole = std::make_shared<PinnedModel>(*pinned);
    for (PinnedModel::Layer& layer : whole->layers) {
      if (!layer.is_elsewhere) continue;
      layer.segment = copies[layer.owner % copies.size()]->engine().open_segment(layer.owner);
      layer.tensors = layer.segment->range_of(layer.key, layer.name);
      layer.is_elsewhere = false;
    }
    pinned = std::move(whole);
  });
  return pinned;
}

std::shared_ptr<PinnedModel> FollowedStore::pin(std::uint64_t id) { return pin(id, std::nullopt); }

std::shared_ptr<PinnedModel> FollowedStore::pin_at(std::size_t place, std::uint64_t id) {
  return pin(id, place);
}

std::shared_ptr<PinnedModel> FollowedStore::pin(std::uint64_t id,
                                                std::optional<std::size_t> place) {
  const auto known = copies();
  if (known == nullptr) throw StoreException(ErrorCode::kNotFound, "no model " + hex_id(id));
  const auto away = [&](const std::string& why) {
    return StoreException(ErrorCode::kIo, "the weights of model " + hex_id(id) +
                                              " are in the store at " + name_ +
                                              ", and not here; they could not be had: " + why);
  };
  for (int attempt = 1;; ++attempt) {
    const Needed needed = needed_by(*known, id, place);
    try {
      if (auto pinned = pin_here(*known, needed, id, !place)) return pinned;
    } catch (const StoreException& error) {
      if (error.code() != ErrorCode::kCorrupt || attempt == kPinAttempts) throw;
      drop(needed);  // what is here is of no use: it comes again
    }
    if (find(needed)) continue;
    if (const std::string why = problem(); !why.empty()) throw away(why);
    try {
      pull(needed);
    } catch (const StoreException& error) {
      if (error.code() == ErrorCode::kBusy) throw;
      if (error.code() != ErrorCode::kNotFound || attempt == kPinAttempts) throw away(error.what());
      catch_up();  // retired since: the log tells
    }
  }
}

bool FollowedStore::find(const Needed& needed) {
  bool found = false;
  for (std::size_t i = 0; i < needed.uses.size(); ++i) {
    for (const std::uint64_t owner : needed.uses[i].owners) {
      found |= needed.copies[i]->find_segment(owner);
    }
  }
  return found;
}

void FollowedStore::drop(const Needed& needed) {
  for (const PulledSegments::Use& use : needed.uses) {
    for (const std::uint64_t owner : use.owners) pulled_.drop(*use.copy, owner);
  }
}

void FollowedStore::pull(const Needed& needed) {
  const PulledSegments::Pulling pulling(pulled_);
  const auto source = leader();
  for (std::size_t i = 0; i < needed.uses.size(); ++i) {
    for (const std::uint64_t owner : needed.uses[i].owners) needed.copies[i]->pull(*source, owner);
  }
  pulled_.trim(needed.uses);
}

std::uint64_t FollowedStore::retire(std::uint64_t id) {
  try {
    std::shared_ptr<RemoteStore> writer;
    {
      const std::lock_guard guard(mutex_);
      writer = writer_;
    }
    if (writer == nullptr) {
      writer = connect(false);
      const std::lock_guard guard(mutex_);
      writer_ = writer;
    }
    const std::uint64_t freed = writer->retire(id);
    catch_up();
    return freed;
  } catch (const StoreException& error) {
    if (error.code() == ErrorCode::kNotFound) throw;
    throw StoreException(ErrorCode::kIo, "model " + hex_id(id) + " lives in the store at " + name_ +
                                             ", which did not retire it: " + error.what());
  }
}

}  // namespace parsl_tl
