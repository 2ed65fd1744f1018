// The sections about layers: who owns them, which model has which, and which models have one.
#include <algorithm>

#include "errors.hpp"
#include "snapshot_merge.hpp"

namespace parsl_tl {
namespace {

/// Where the items of each group begin, as in CSR.
std::vector<std::uint64_t> starts_of(const std::vector<std::uint32_t>& groups, std::size_t count) {
  std::vector<std::uint64_t> starts(count + 1, 0);
  for (const std::uint32_t group : groups) ++starts[group + 1];
  for (std::size_t group = 0; group < count; ++group) starts[group + 1] += starts[group];
  return starts;
}

}  // namespace

void SnapshotWriter::write_owners() {
  struct Layer {
    std::uint32_t term, references;
    std::uint64_t bytes;
  };
  std::vector<std::uint64_t> ids, segments, starts{0}, bytes;
  std::vector<std::uint32_t> terms, references;
  const auto add = [&](std::uint64_t id, std::uint64_t segment_bytes) {
    ids.push_back(id);
    segments.push_back(segment_bytes);
    starts.push_back(terms.size());
  };
  const auto add_layer = [&](const Layer& layer) {
    terms.push_back(layer.term);
    references.push_back(layer.references);
    bytes.push_back(layer.bytes);
    return static_cast<std::uint32_t>(terms.size() - 1);
  };

  std::vector<std::uint64_t> fresh;
  fresh.reserve(catalog_.owners_.size());
  for (const auto& [id, owner] : catalog_.owners_) fresh.push_back(id);
  std::sort(fresh.begin(), fresh.end());
  std::size_t next_fresh = 0;
  const auto fresh_layers = [&](std::uint64_t id) {
    const Catalog::Owner& owner = catalog_.owners_.at(id);
    std::vector<std::pair<std::uint64_t, LayerUse>> layers(owner.layers.begin(),
                                                           owner.layers.end());
    std::sort(layers.begin(), layers.end(), [](auto& a, auto& b) { return a.first < b.first; });
    return layers;
  };
  const auto add_fresh_layer = [&](std::uint64_t id, const auto& layer) {
    const auto& [key, use] = layer;
    delta_layers_[id][key] =
        add_layer({terms_.number_of(key), static_cast<std::uint32_t>(use.references), use.bytes});
  };
  const auto add_fresh = [&](std::uint64_t id) {
    for (const auto& layer : fresh_layers(id)) add_fresh_layer(id, layer);
    add(id, catalog_.owners_.at(id).segment_bytes);
  };

  const auto old_ids = old<std::uint64_t>(Section::kOwnerIds);
  const auto old_starts = old<std::uint64_t>(Section::kOwnerStarts);
  const auto old_terms = old<std::uint32_t>(Section::kLayerTerms);
  const auto old_bytes = old<std::uint64_t>(Section::kLayerBytes);
  new_layers_.assign(old_terms.size(), kNone);
  for (std::uint32_t owner = 0; owner < old_ids.size(); ++owner) {
    while (next_fresh < fresh.size() && fresh[next_fresh] < old_ids[owner]) {
      add_fresh(fresh[next_fresh++]);
    }
    // Layers that another server's model owns: some may be known already, others be new.
    decltype(fresh_layers(0)) more;
    if (next_fresh < fresh.size() && fresh[next_fresh] == old_ids[owner]) {
      more = fresh_layers(fresh[next_fresh++]);
    }
    auto next = more.begin();
    const std::size_t before = terms.size();
    for (auto layer = static_cast<std::uint32_t>(old_starts[owner]); layer < old_starts[owner + 1];
         ++layer) {
      const std::uint32_t uses = catalog_.base_references(layer);
      if (uses == 0) continue;
      const std::uint32_t term = terms_.renumbered(old_terms[layer]);
      while (next != more.end() && terms_.number_of(next->first) < term) {
        add_fresh_layer(old_ids[owner], *next++);
      }
      new_layers_[layer] = add_layer({term, uses, old_bytes[layer]});
    }
    while (next != more.end()) add_fresh_layer(old_ids[owner], *next++);
    if (terms.size() > before) add(old_ids[owner], catalog_.base_segment(owner));
  }
  while (next_fresh < fresh.size()) add_fresh(fresh[next_fresh++]);

  if (terms.size() >= kNone) {
    throw StoreException(ErrorCode::kFull, "a store holds fewer than 2^32 layers with weights");
  }
  header_.owners = ids.size();
  header_.layers = terms.size();
  put(Section::kOwnerIds, ids);
  put(Section::kOwnerSegments, segments);
  put(Section::kOwnerStarts, starts);
  put(Section::kLayerTerms, terms);
  put(Section::kLayerReferences, references);
  put(Section::kLayerBytes, bytes);
}

void SnapshotWriter::write_shares() {
  const auto old_starts = old<std::uint64_t>(Section::kShareStarts);
  const auto old_terms = old<std::uint32_t>(Section::kShareTerms);
  const auto old_layers = old<std::uint32_t>(Section::kShareLayers);
  const auto old_bytes = old<std::uint64_t>(Section::kTermBytes);
  std::vector<std::uint32_t> layers;
  share_starts_.reserve(sources_.size() + 1);
  share_terms_.reserve(header_.shares);
  layers.reserve(header_.shares);
  term_bytes_.assign(terms_.keys().size(), 0);
  for (std::uint32_t term = 0; term < terms_.num_old(); ++term) {
    if (terms_.renumbered(term) != kNone) term_bytes_[terms_.renumbered(term)] = old_bytes[term];
  }
  const auto terms = terms_.added();

  const auto delta_layer = [this](const LayerRecord& layer) -> std::optional<std::uint32_t> {
    const auto owner = delta_layers_.find(layer.owner);
    if (owner == delta_layers_.end()) return std::nullopt;
    const auto found = owner->second.find(layer.key);
    return found == owner->second.end() ? std::nullopt : std::optional(found->second);
  };
  const auto add_delta = [&](const LayerRecord& layer) {
    const std::uint32_t term = terms.at(layer.key);
    share_terms_.push_back(term);
    term_bytes_[term] = std::max(term_bytes_[term], layer.bytes);
    if (!layer.has_weights) {
      layers.push_back(kNone);
    } else if (const auto added = delta_layer(layer)) {
      layers.push_back(*added);
    } else {
      layers.push_back(new_layers_[*catalog_.base_layer(layer.owner, layer.key)]);
    }
  };
  for (const Source& source : sources_) {
    share_starts_.push_back(share_terms_.size());
    if (source.model != nullptr) {
      for (const LayerRecord& layer : source.model->layers) add_delta(layer);
      continue;
    }
    for (auto i = old_starts[source.old_slot]; i < old_starts[source.old_slot + 1]; ++i) {
      share_terms_.push_back(terms_.renumbered(old_terms[i]));
      layers.push_back(old_layers[i] == kNone ? kNone : new_layers_[old_layers[i]]);
    }
  }
  share_starts_.push_back(share_terms_.size());
  put(Section::kShareStarts, share_starts_);
  put(Section::kShareTerms, share_terms_);
  put(Section::kShareLayers, layers);
  put(Section::kTermBytes, term_bytes_);
}

void SnapshotWriter::write_postings() {
  std::vector<std::uint64_t> starts = starts_of(share_terms_, terms_.keys().size());
  put(Section::kPostingStarts, starts);
  std::vector<std::uint32_t> postings(share_terms_.size());
  for (std::uint32_t slot = 0; slot < sources_.size(); ++slot) {
    for (auto i = share_starts_[slot]; i < share_starts_[slot + 1]; ++i) {
      postings[starts[share_terms_[i]]++] = slot;
    }
  }
  header_.postings = postings.size();
  put(Section::kPostings, postings);
}

void SnapshotWriter::write_data() {
  std::vector<std::uint64_t> starts = starts_of(model_data_, header_.fingerprints);
  put(Section::kDataStarts, starts);
  std::vector<std::uint32_t> models(model_data_.size());
  for (std::uint32_t slot = 0; slot < models.size(); ++slot) {
    models[starts[model_data_[slot]]++] = slot;
  }
  put(Section::kDataModels, models);
}

}  // namespace parsl_tl
