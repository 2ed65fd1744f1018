#include "snapshot_writer.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <tuple>

#include "errors.hpp"
#include "snapshot_merge.hpp"

namespace parsl_tl {

SnapshotWriter::SnapshotWriter(const Catalog& catalog, const LogStamp& stamp, File file)
    : catalog_(catalog), base_(catalog.base_.get()), file_(std::move(file)), terms_(base_) {
  std::memcpy(header_.magic, kSnapshotMagic, sizeof kSnapshotMagic);
  header_.stamp = stamp;
  header_.next_sequence = catalog.next_sequence();
  header_.bytes_live = catalog.bytes_live();
  header_.bytes_segments = catalog.bytes_segments();
  offset_ = sizeof header_ + sizeof table_;
}

SnapshotWriter::~SnapshotWriter() {
  if (!published_) ::unlink(file_.path().c_str());
}

bool SnapshotWriter::write(const std::atomic<bool>& stop) {
  // Or damage there would go into the new snapshot, under a checksum that is right.
  if (base_ != nullptr) base_->verify_index();
  using Step = void (SnapshotWriter::*)();
  for (const Step step : {&SnapshotWriter::rank_models, &SnapshotWriter::collect_terms,
                          &SnapshotWriter::write_terms, &SnapshotWriter::write_owners,
                          &SnapshotWriter::write_models, &SnapshotWriter::write_fingerprints,
                          &SnapshotWriter::write_used, &SnapshotWriter::write_shares,
                          &SnapshotWriter::write_postings, &SnapshotWriter::write_data}) {
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

bool SnapshotWriter::publish(const std::string& path) {
  if (std::rename(file_.path().c_str(), path.c_str()) != 0) {
    throw_errno(errno, "cannot publish", path);
  }
  return published_ = true;
}

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

void SnapshotWriter::write_fingerprints() {
  const auto old_data = old<std::uint32_t>(Section::kModelData);
  const auto old_fingerprints = old<std::uint64_t>(Section::kFingerprints);
  std::vector<std::uint64_t> of_models;
  of_models.reserve(sources_.size());
  for (const Source& source : sources_) {
    of_models.push_back(source.model != nullptr ? source.model->fingerprint
                                                : old_fingerprints[old_data[source.old_slot]]);
  }
  std::vector<std::uint64_t> fingerprints = of_models;
  std::sort(fingerprints.begin(), fingerprints.end());
  fingerprints.erase(std::unique(fingerprints.begin(), fingerprints.end()), fingerprints.end());
  header_.fingerprints = fingerprints.size();
  model_data_.reserve(of_models.size());
  for (const std::uint64_t fingerprint : of_models) {
    const auto found = std::lower_bound(fingerprints.begin(), fingerprints.end(), fingerprint);
    model_data_.push_back(static_cast<std::uint32_t>(found - fingerprints.begin()));
  }
  put(Section::kModelData, model_data_);
  put(Section::kFingerprints, fingerprints);
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
