#include "remote_model.hpp"

#include <algorithm>

#include "download.hpp"
#include "errors.hpp"
#include "requests/read_layers.hpp"

namespace parsl_tl {
namespace {

/// The layers of one server, of those that are asked for.
struct Share {
  std::uint32_t server = 0;
  std::vector<std::size_t> wanted;  // indices into the given places
};

struct Shares {
  std::vector<std::size_t> mapped;  // likewise
  std::vector<Share> fetched;
};

Shares split(const RemoteModel& model, std::span<const std::size_t> places) {
  Shares shares;
  std::map<std::uint32_t, Share> by_server;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const RemoteModel::Layer& layer = model.layers[places[i]];
    if (!layer.has_weights) continue;
    if (layer.segment != nullptr) {
      shares.mapped.push_back(i);
      continue;
    }
    const std::uint32_t server = model.parts().home(layer.owner).index();
    Share& share = by_server[server];
    share.server = server;
    share.wanted.push_back(i);
  }
  for (auto& [server, share] : by_server) shares.fetched.push_back(std::move(share));
  return shares;
}

/// The mapped layers, as the functions for models of an embedded store take them.
PinnedModel as_pinned(const RemoteModel& model, std::span<const std::size_t> places,
                      const std::vector<std::size_t>& wanted) {
  PinnedModel pinned;
  pinned.id = model.id;
  for (const std::size_t i : wanted) {
    const RemoteModel::Layer& layer = model.layers[places[i]];
    pinned.layers.push_back(
        {layer.name, layer.key, layer.owner, layer.bytes, false, layer.segment, layer.tensors});
  }
  return pinned;
}

std::vector<std::size_t> all_places(const PinnedModel& pinned) {
  std::vector<std::size_t> places(pinned.layers.size());
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = i;
  return places;
}

void fetch(const RemoteModel& model, std::span<const std::size_t> places, const Share& share,
           Download& download) {
  ReadLayersRequest request{model.id, {}, 0};
  // Other servers know what the model holds there, and not when it was stored.
  if (model.parts().home(model.id).index() == share.server) request.created_ns = model.created_ns;
  for (const std::size_t i : share.wanted) {
    request.layer_keys.push_back(model.layers[places[i]].key);
  }
  model.parts().connections[share.server]->ask(request, {{}, &download});
}

}  // namespace

void LetGo::add(std::uint32_t server, std::uint64_t lease) {
  const std::lock_guard guard(mutex_);
  leases_[server].push_back(lease);
}

std::vector<std::uint64_t> LetGo::take(std::uint32_t server) {
  const std::lock_guard guard(mutex_);
  const auto found = leases_.find(server);
  return found == leases_.end() ? std::vector<std::uint64_t>() : std::exchange(found->second, {});
}

RemoteModel::~RemoteModel() {
  for (const Keeper& keeper : kept_by) parts_->let_go.add(keeper.server, lease);
}

bool RemoteModel::is_kept() const {
  return std::all_of(kept_by.begin(), kept_by.end(), [this](const Keeper& keeper) {
    return parts_->connections[keeper.server]->epoch() == keeper.epoch;
  });
}

ViewedLayers view_layers(const RemoteModel& model, std::span<const std::size_t> places) {
  const Shares shares = split(model, places);
  ViewedLayers viewed;
  viewed.layers.resize(places.size());
  const PinnedModel pinned = as_pinned(model, places, shares.mapped);
  const auto mapped = view_layers(pinned, all_places(pinned));
  for (std::size_t i = 0; i < mapped.size(); ++i) viewed.layers[shares.mapped[i]] = mapped[i];
  for (const PinnedModel::Layer& layer : pinned.layers) viewed.owners.push_back(layer.segment);

  std::vector<std::shared_ptr<FreshTensors>> fresh(shares.fetched.size());
  model.parts().fanout->run(fresh.size(), [&](std::size_t i) {
    std::vector<std::uint64_t> sizes;
    for (const std::size_t wanted : shares.fetched[i].wanted) {
      for (const TensorInfo& tensor : model.layers[places[wanted]].fetched) {
        sizes.push_back(tensor.size);
      }
    }
    fresh[i] = std::make_shared<FreshTensors>(std::move(sizes));
    fetch(model, places, shares.fetched[i], *fresh[i]);
  });
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    std::size_t next = 0;
    for (const std::size_t wanted : shares.fetched[i].wanted) {
      const std::size_t tensors = model.layers[places[wanted]].fetched.size();
      for (std::size_t j = 0; j < tensors; ++j) {
        viewed.layers[wanted].push_back(fresh[i]->tensor(next++));
      }
    }
    viewed.owners.push_back(fresh[i]);
  }
  return viewed;
}

void copy_layers(const RemoteModel& model, std::span<const std::size_t> places,
                 std::span<const LayerMemory> memory) {
  const Shares shares = split(model, places);
  for (const Share& share : shares.fetched) {
    for (const std::size_t wanted : share.wanted) {
      const auto& tensors = model.layers[places[wanted]].fetched;
      bool fits = memory[wanted].size() == tensors.size();
      for (std::size_t i = 0; fits && i < tensors.size(); ++i) {
        fits = memory[wanted][i].size() == tensors[i].size;
      }
      if (fits) continue;
      throw StoreException(ErrorCode::kInvalidValue, "the given memory does not fit the tensors");
    }
  }
  const PinnedModel pinned = as_pinned(model, places, shares.mapped);
  std::vector<LayerMemory> mapped;
  mapped.reserve(shares.mapped.size());
  for (const std::size_t wanted : shares.mapped) mapped.push_back(memory[wanted]);
  copy_layers(pinned, all_places(pinned), mapped);

  model.parts().fanout->run(shares.fetched.size(), [&](std::size_t i) {
    Pieces pieces;
    for (const std::size_t wanted : shares.fetched[i].wanted) {
      pieces.insert(pieces.end(), memory[wanted].begin(), memory[wanted].end());
    }
    GivenMemory download(std::move(pieces));
    fetch(model, places, shares.fetched[i], download);
  });
}

}  // namespace parsl_tl
