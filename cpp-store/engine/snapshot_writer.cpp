#include "snapshot_writer.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <tuple>

#include "checksum.hpp"
#include "errors.hpp"
#include "snapshot_terms.hpp"

namespace parsl_tl {

/// Merges a catalog's snapshot and its delta into the sections of a new one. Everything that is
/// sorted in the old snapshot stays so, and old numbers map to new ones by arrays: no hashing over
/// all models.
class SnapshotWriter {
 public:
  SnapshotWriter(const Catalog& catalog, const LogStamp& stamp, File file)
      : catalog_(catalog), base_(catalog.base_.get()), file_(std::move(file)), terms_(base_) {
    std::memcpy(header_.magic, kSnapshotMagic, sizeof kSnapshotMagic);
    header_.stamp = stamp;
    header_.next_sequence = catalog.next_sequence();
    header_.bytes_live = catalog.bytes_live();
    header_.bytes_segments = catalog.bytes_segments();
    offset_ = sizeof header_ + sizeof table_;
  }

  ~SnapshotWriter() {
    if (!published_) ::unlink(file_.path().c_str());
  }
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;

  bool write(const std::atomic<bool>& stop) {
    // Or damage there would go into the new snapshot, under a checksum that is right.
    if (base_ != nullptr) base_->verify_index();
    using Step = void (SnapshotWriter::*)();
    for (const Step step : {&SnapshotWriter::rank_models, &SnapshotWriter::collect_terms,
                            &SnapshotWriter::write_terms, &SnapshotWriter::write_owners,
                            &SnapshotWriter::write_models, &SnapshotWriter::write_used,
                            &SnapshotWriter::write_shares, &SnapshotWriter::write_postings}) {
      if (stop) return false;
      (this->*step)();
    }
    file_.truncate(offset_);  // empty sections at the end have a place too
    ChecksumStream stream;
    stream.update(&header_, offsetof(SnapshotHeader, table_checksum));
    stream.update(table_, sizeof table_);
    header_.table_checksum = stream.digest();
    file_.write_at(0, &header_, sizeof header_);
    file_.write_at(sizeof header_, table_, sizeof table_);
    file_.sync_data();  // or a power cut could leave a name without its bytes
    return true;
  }

  bool publish(const std::string& path) {
    if (std::rename(file_.path().c_str(), path.c_str()) != 0) {
      throw_errno(errno, "cannot publish", path);
    }
    return published_ = true;
  }

 private:
  /// A model to write: one of the old snapshot's, or one of the delta's.
  struct Source {
    double quality;
    std::uint64_t sequence;
    std::uint32_t old_slot;  // kNone for one of the delta's
    const Model* model;
  };

  template <typename T>
  void put(Section which, const std::vector<T>& values) {
    const std::uint64_t size = values.size() * sizeof(T);
    offset_ = (offset_ + kSnapshotAlignment - 1) / kSnapshotAlignment * kSnapshotAlignment;
    table_[static_cast<std::size_t>(which)] = {offset_, size, checksum(values.data(), size)};
    file_.write_at(offset_, values.data(), size);
    offset_ += size;
  }

  template <typename T>
  std::span<const T> old(Section which) const {
    return base_ ? base_->section<T>(which) : std::span<const T>();
  }

  void rank_models();
  void collect_terms();
  void write_terms();
  void write_owners();
  void write_models();
  void write_used();
  void write_shares();
  void write_postings();

  const Catalog& catalog_;
  const Snapshot* base_;
  File file_;
  SnapshotHeader header_{};
  SectionEntry table_[kNumSections] = {};
  std::uint64_t offset_ = 0;
  bool published_ = false;

  std::vector<Source> sources_;  // by rank
  SnapshotTerms terms_;
  std::vector<std::uint32_t> new_layers_;  // old owned layer -> new one, kNone if gone
  std::unordered_map<std::uint64_t, std::unordered_map<std::uint64_t, std::uint32_t>>
      delta_layers_;  // owner -> key -> new owned layer, for what the delta owns
  std::vector<std::uint64_t> share_starts_;
  std::vector<std::uint32_t> share_terms_;
  std::vector<std::uint64_t> term_bytes_;
};

void SnapshotWriter::rank_models() {
  const auto qualities = old<double>(Section::kQualities);
  const auto sequences = old<std::uint64_t>(Section::kSequences);
  const auto better = [](const Source& a, const Source& b) {
    return std::tuple(a.quality, a.sequence) > std::tuple(b.quality, b.sequence);
  };
  sources_.reserve(catalog_.num_models());
  for (std::uint32_t slot = 0; slot < qualities.size(); ++slot) {
    if (!catalog_.is_retired(slot)) {
      sources_.push_back({qualities[slot], sequences[slot], slot, nullptr});
    }
  }
  const auto middle = static_cast<std::ptrdiff_t>(sources_.size());
  for (const auto& [id, model] : catalog_.models_) {
    sources_.push_back({model->quality, model->sequence, kNone, model.get()});
  }
  std::sort(sources_.begin() + middle, sources_.end(), better);
  std::inplace_merge(sources_.begin(), sources_.begin() + middle, sources_.end(), better);
  if (sources_.size() >= kNone) {
    throw StoreException(ErrorCode::kFull, "a store holds fewer than 2^32 models");
  }
  header_.models = sources_.size();
}

void SnapshotWriter::collect_terms() {
  const auto old_starts = old<std::uint64_t>(Section::kShareStarts);
  const auto old_terms = old<std::uint32_t>(Section::kShareTerms);
  for (const Source& source : sources_) {
    if (source.model != nullptr) {
      for (const LayerRecord& layer : source.model->layers) terms_.add(layer);
      header_.shares += source.model->layers.size();
      continue;
    }
    for (auto i = old_starts[source.old_slot]; i < old_starts[source.old_slot + 1]; ++i) {
      terms_.keep(old_terms[i]);
    }
    header_.shares += old_starts[source.old_slot + 1] - old_starts[source.old_slot];
  }
  terms_.number();
  header_.terms = terms_.keys().size();
}

void SnapshotWriter::write_terms() {
  const SnapshotTerms::Names names = terms_.names();
  put(Section::kTermKeys, terms_.keys());
  put(Section::kTermNames, names.codes);
  put(Section::kBuckets, terms_.buckets());
  std::vector<std::uint64_t> starts{0};
  std::vector<char> texts;
  for (const std::string& name : names.texts) {
    texts.insert(texts.end(), name.begin(), name.end());
    starts.push_back(texts.size());
  }
  header_.num_classes = names.num_classes;
  header_.num_names = names.texts.size();
  put(Section::kNameStarts, starts);
  put(Section::kNames, texts);
}

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

void SnapshotWriter::write_models() {
  const auto column = [this]<typename T>(Section which, std::span<const T> before, auto get) {
    std::vector<T> values;
    values.reserve(sources_.size());
    for (const Source& source : sources_) {
      values.push_back(source.model != nullptr ? static_cast<T>(get(*source.model))
                                               : before[source.old_slot]);
    }
    put(which, values);
  };
  using enum Section;
  column(kIds, old<std::uint64_t>(kIds), [](const Model& m) { return m.id; });
  column(kQualities, old<double>(kQualities), [](const Model& m) { return m.quality; });
  column(kSequences, old<std::uint64_t>(kSequences), [](const Model& m) { return m.sequence; });
  column(kCreated, old<std::int64_t>(kCreated), [](const Model& m) { return m.created_ns; });
  column(kDonors, old<std::uint64_t>(kDonors), [](const Model& m) { return m.donor.value_or(0); });
  column(kHasDonor, old<std::uint8_t>(kHasDonor),
         [](const Model& m) { return m.donor.has_value(); });
  column(kFrames, old<std::uint64_t>(kFrames), [](const Model& m) { return m.place.offset; });
  column(kRows, old<std::uint32_t>(kRows), [](const Model& m) { return m.place.row; });

  const auto old_starts = old<std::uint64_t>(kAttributeStarts);
  const auto old_texts = old<char>(kAttributes);
  std::vector<std::uint64_t> starts{0};
  std::vector<char> texts;
  for (const Source& source : sources_) {
    if (source.model != nullptr) {
      const std::string& text = source.model->attributes;
      texts.insert(texts.end(), text.begin(), text.end());
    } else {
      const auto text =
          old_texts.subspan(old_starts[source.old_slot],
                            old_starts[source.old_slot + 1] - old_starts[source.old_slot]);
      texts.insert(texts.end(), text.begin(), text.end());
    }
    starts.push_back(texts.size());
  }
  put(kAttributeStarts, starts);
  put(kAttributes, texts);
}

void SnapshotWriter::write_used() {
  // Where the old snapshot's models went, and where the delta's did.
  std::vector<std::uint32_t> new_slots(base_ ? base_->num_models() : 0, kNone);
  std::unordered_map<std::uint64_t, std::uint32_t> delta_slots;
  for (std::uint32_t slot = 0; slot < sources_.size(); ++slot) {
    const Source& source = sources_[slot];
    if (source.model == nullptr) {
      new_slots[source.old_slot] = slot;
    } else {
      delta_slots[source.model->id] = slot;
    }
  }
  std::vector<std::uint64_t> added;
  for (const auto& [id, parent] : catalog_.parent_of_) added.push_back(id);
  for (const auto& [id, slot] : delta_slots) {
    if (!catalog_.membership().is_home_of(id)) added.push_back(id);
  }
  std::sort(added.begin(), added.end());

  std::vector<std::uint64_t> ids, parents;
  std::vector<std::uint8_t> has_parent;
  std::vector<std::uint32_t> models;
  std::size_t next = 0;
  const auto add_fresh = [&] {
    const std::uint64_t id = added[next++];
    const auto parent = catalog_.parent_of_.find(id);  // a hold has none
    const auto slot = delta_slots.find(id);
    const bool known = parent != catalog_.parent_of_.end() && parent->second.has_value();
    ids.push_back(id);
    parents.push_back(known ? *parent->second : 0);
    has_parent.push_back(known);
    models.push_back(slot == delta_slots.end() ? kNone : slot->second);
  };
  const auto old_ids = old<std::uint64_t>(Section::kUsedIds);
  const auto old_parents = old<std::uint64_t>(Section::kUsedParents);
  const auto old_has_parent = old<std::uint8_t>(Section::kUsedHasParent);
  const auto old_models = old<std::uint32_t>(Section::kUsedModels);
  for (std::size_t i = 0; i < old_ids.size(); ++i) {
    while (next < added.size() && added[next] < old_ids[i]) add_fresh();
    const std::uint32_t model = old_models[i] == kNone ? kNone : new_slots[old_models[i]];
    // Of a hold that was released nothing is left to know; it may have been taken anew.
    if (model == kNone && !catalog_.membership().is_home_of(old_ids[i])) continue;
    ids.push_back(old_ids[i]);
    parents.push_back(old_parents[i]);
    has_parent.push_back(old_has_parent[i]);
    models.push_back(model);
  }
  while (next < added.size()) add_fresh();
  header_.used = ids.size();
  put(Section::kUsedIds, ids);
  put(Section::kUsedParents, parents);
  put(Section::kUsedHasParent, has_parent);
  put(Section::kUsedModels, models);
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
  std::vector<std::uint64_t> starts(terms_.keys().size() + 1, 0);
  for (const std::uint32_t term : share_terms_) ++starts[term + 1];
  for (std::size_t term = 0; term + 1 < starts.size(); ++term) starts[term + 1] += starts[term];
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

bool write_snapshot(const Catalog& catalog, const LogStamp& stamp, const std::string& folder,
                    const std::string& path, const std::atomic<bool>& stop) {
  if (catalog.num_awaited() > 0) {
    throw StoreException(ErrorCode::kCorrupt,
                         "the log has layers of departed models that no model holds");
  }
  SnapshotWriter writer(catalog, stamp, create_temporary(folder, "snapshot"));
  return writer.write(stop) && writer.publish(path);
}

}  // namespace parsl_tl
