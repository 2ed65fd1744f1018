#include "snapshot.hpp"

#include <fcntl.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "errors.hpp"
#include "layer_name.hpp"

namespace parsl_tl {
namespace {

struct SnapshotView {
  static constexpr bool kRanked = true;

  std::span<const std::uint64_t> ids;
  std::span<const double> qualities;
  std::span<const std::uint64_t> sequences;
  std::span<const std::uint64_t> share_starts;
  std::span<const std::uint32_t> share_terms;
  std::span<const std::uint32_t> share_layers;
  std::span<const std::uint64_t> layer_bytes;
  const RetiredBits& retired;

  std::uint64_t id(std::uint32_t slot) const { return ids[slot]; }
  double quality(std::uint32_t slot) const { return qualities[slot]; }
  std::uint64_t sequence(std::uint32_t slot) const { return sequences[slot]; }
  bool is_alive(std::uint32_t slot) const {
    return retired.empty() || ((retired[slot / 64] >> (slot % 64)) & 1) == 0;
  }
  double max_quality() const { return qualities[0]; }
  std::uint32_t num_at_least(double quality) const {
    const auto end = std::partition_point(qualities.begin(), qualities.end(),
                                          [&](double other) { return other >= quality; });
    return static_cast<std::uint32_t>(end - qualities.begin());
  }
  std::uint32_t place_of(const Donor& donor) const {
    std::uint32_t low = 0;
    std::uint32_t high = donor.found ? static_cast<std::uint32_t>(ids.size()) : 0;
    while (low < high) {
      const std::uint32_t middle = low + (high - low) / 2;
      const bool is_better = qualities[middle] != donor.quality
                                 ? qualities[middle] > donor.quality
                                 : sequences[middle] > donor.sequence;
      (is_better ? low : high) = is_better ? middle + 1 : middle;
    }
    return low;
  }
  std::uint64_t score(std::uint32_t slot, const TokenWeights& weights) const {
    std::uint64_t sum = 0;
    for (std::uint64_t i = share_starts[slot]; i < share_starts[slot + 1]; ++i) {
      sum += weights[share_terms[i]];
    }
    return sum;
  }
  std::uint64_t bytes(std::uint32_t slot, const TokenWeights& weights) const {
    std::uint64_t sum = 0;
    for (std::uint64_t i = share_starts[slot]; i < share_starts[slot + 1]; ++i) {
      if (share_layers[i] != kNone && weights[share_terms[i]] > 0) {
        sum += layer_bytes[share_layers[i]];
      }
    }
    return sum;
  }
  bool shares(std::uint32_t slot, const TokenWeights& weights) const {
    return std::any_of(share_terms.begin() + static_cast<std::ptrdiff_t>(share_starts[slot]),
                       share_terms.begin() + static_cast<std::ptrdiff_t>(share_starts[slot + 1]),
                       [&](std::uint32_t term) { return weights.contains(term); });
  }
};

/// Which models are of one of some data sets.
class AllowedInSnapshot {
 public:
  AllowedInSnapshot(const Snapshot& snapshot, const IdSet& fingerprints)
      : data_of_(snapshot.section<std::uint32_t>(Section::kModelData)),
        is_allowed_(snapshot.header().fingerprints) {
    const auto starts = snapshot.section<std::uint64_t>(Section::kDataStarts);
    const auto models = snapshot.section<std::uint32_t>(Section::kDataModels);
    for (const std::uint64_t fingerprint : fingerprints.values()) {
      const auto data = snapshot.find_fingerprint(fingerprint);
      if (!data) continue;
      is_allowed_[*data] = 1;
      slots_.push_back(models.subspan(starts[*data], starts[*data + 1] - starts[*data]));
      size_ += slots_.back().size();
    }
  }

  bool contains(std::uint32_t slot) const { return is_allowed_[data_of_[slot]] != 0; }
  std::size_t size() const { return size_; }
  void for_each(auto&& visit) const {
    for (const auto& slots : slots_) std::for_each(slots.begin(), slots.end(), visit);
  }

 private:
  std::span<const std::uint32_t> data_of_;
  std::vector<std::uint8_t> is_allowed_;  // by the number of the fingerprint
  std::vector<std::span<const std::uint32_t>> slots_;
  std::size_t size_ = 0;
};

/// Whether it begins as the snapshot of a release before or after this one.
bool is_of_other_release(const char* magic) {
  return std::memcmp(magic, kSnapshotMagic, sizeof kSnapshotMagic - 1) == 0 &&
         magic[sizeof kSnapshotMagic - 1] != kSnapshotMagic[sizeof kSnapshotMagic - 1];
}

template <typename T>
std::optional<std::uint32_t> find_sorted(std::span<const T> values, T value) {
  const auto found = std::lower_bound(values.begin(), values.end(), value);
  if (found == values.end() || *found != value) return std::nullopt;
  return static_cast<std::uint32_t>(found - values.begin());
}

}  // namespace

std::shared_ptr<const Snapshot> Snapshot::open(const std::string& path, std::uint64_t generation) {
  std::shared_ptr<const Snapshot> snapshot;
  try {
    const File file(path, O_RDONLY);
    char magic[sizeof kSnapshotMagic] = {};
    file.read_at(0, magic, sizeof magic);
    if (is_of_other_release(magic)) return nullptr;
    snapshot.reset(new Snapshot(file, path));
  } catch (const StoreException& error) {
    if (error.code() == ErrorCode::kNotFound) return nullptr;
    throw;
  }
  if (snapshot->header_.stamp.generation != generation) return nullptr;
  snapshot->verify_catalog();
  return snapshot;
}

Snapshot::Snapshot(const File& file, const std::string& path)
    : path_(path), identity_(file.identity()), mapping_(file) {
  constexpr std::size_t kTableBytes = kNumSections * sizeof(SectionEntry);
  if (mapping_.size() < sizeof header_ + kTableBytes) damaged("is cut off");
  std::memcpy(&header_, mapping_.data(), sizeof header_);
  if (std::memcmp(header_.magic, kSnapshotMagic, sizeof kSnapshotMagic) != 0)
    damaged("is no snapshot");
  table_ = {reinterpret_cast<const SectionEntry*>(mapping_.data() + sizeof header_), kNumSections};
}

void Snapshot::damaged(const std::string& why) const {
  throw StoreException(ErrorCode::kCorrupt,
                       path_ + " " + why + "; remove it: it is made anew from the log");
}

std::uint64_t Snapshot::index_bytes() const noexcept {
  using enum Section;
  std::uint64_t bytes = 0;
  for (const Section which :
       {kIds, kQualities, kSequences, kShareStarts, kShareTerms, kTermKeys, kBuckets, kTermBytes,
        kPostingStarts, kPostings, kModelData, kFingerprints, kDataStarts, kDataModels}) {
    bytes += table_[static_cast<std::size_t>(which)].size;
  }
  return bytes;
}

std::optional<Snapshot::Used> Snapshot::find_used(std::uint64_t id) const {
  const auto place = find_sorted(section<std::uint64_t>(Section::kUsedIds), id);
  if (!place) return std::nullopt;
  Used used{{}, section<std::uint32_t>(Section::kUsedModels)[*place]};
  if (section<std::uint8_t>(Section::kUsedHasParent)[*place] != 0) {
    used.parent = section<std::uint64_t>(Section::kUsedParents)[*place];
  }
  return used;
}

std::optional<std::uint32_t> Snapshot::find_owner(std::uint64_t id) const {
  return find_sorted(section<std::uint64_t>(Section::kOwnerIds), id);
}

std::optional<std::uint32_t> Snapshot::find_fingerprint(std::uint64_t fingerprint) const {
  return find_sorted(section<std::uint64_t>(Section::kFingerprints), fingerprint);
}

std::optional<std::uint32_t> Snapshot::find_term(std::uint64_t key) const {
  const auto keys = section<std::uint64_t>(Section::kTermKeys);
  const auto buckets = section<std::uint32_t>(Section::kBuckets);
  // 2^b + 1 bucket starts, for the first b bits of a key.
  const int bits = std::bit_width(buckets.size() - 1) - 1;
  const std::size_t bucket = bits == 0 ? 0 : key >> (64 - bits);
  const auto begin = keys.begin() + buckets[bucket];
  const auto end = keys.begin() + buckets[bucket + 1];
  const auto found = std::lower_bound(begin, end, key);
  if (found == end || *found != key) return std::nullopt;
  return static_cast<std::uint32_t>(found - keys.begin());
}

std::optional<std::uint32_t> Snapshot::find_layer(std::uint32_t owner, std::uint64_t key) const {
  const auto term = find_term(key);
  if (!term) return std::nullopt;
  const auto starts = section<std::uint64_t>(Section::kOwnerStarts);
  const auto terms = section<std::uint32_t>(Section::kLayerTerms)
                         .subspan(starts[owner], starts[owner + 1] - starts[owner]);
  const auto place = find_sorted(terms, *term);
  if (!place) return std::nullopt;
  return static_cast<std::uint32_t>(starts[owner] + *place);
}

std::uint32_t Snapshot::owner_of_layer(std::uint32_t layer) const {
  const auto starts = section<std::uint64_t>(Section::kOwnerStarts);
  const auto behind = std::upper_bound(starts.begin(), starts.end(), layer);
  return static_cast<std::uint32_t>(behind - starts.begin() - 1);
}

std::string Snapshot::layer_name(std::uint32_t term) const {
  const std::uint32_t code = section<std::uint32_t>(Section::kTermNames)[term];
  const bool odd = (code & kOddName) != 0;
  const std::uint64_t name = odd ? header_.num_classes + (code & ~kOddName) : code;
  const auto starts = section<std::uint64_t>(Section::kNameStarts);
  const auto text =
      section<char>(Section::kNames).subspan(starts[name], starts[name + 1] - starts[name]);
  if (odd) return {text.data(), text.size()};
  return format_layer_name({text.data(), text.size()},
                           section<std::uint64_t>(Section::kTermKeys)[term]);
}

Model Snapshot::model(std::uint32_t slot, bool with_names) const {
  Model model;
  model.id = section<std::uint64_t>(Section::kIds)[slot];
  model.sequence = section<std::uint64_t>(Section::kSequences)[slot];
  model.created_ns = section<std::int64_t>(Section::kCreated)[slot];
  model.quality = section<double>(Section::kQualities)[slot];
  model.parent = find_used(model.id)->parent;
  if (section<std::uint8_t>(Section::kHasDonor)[slot] != 0) {
    model.donor = section<std::uint64_t>(Section::kDonors)[slot];
  }
  model.fingerprint = section<std::uint64_t>(
      Section::kFingerprints)[section<std::uint32_t>(Section::kModelData)[slot]];
  model.place = {section<std::uint64_t>(Section::kFrames)[slot],
                 section<std::uint32_t>(Section::kRows)[slot]};
  const auto texts = section<std::uint64_t>(Section::kAttributeStarts);
  const auto text =
      section<char>(Section::kAttributes).subspan(texts[slot], texts[slot + 1] - texts[slot]);
  model.attributes.assign(text.data(), text.size());

  const auto starts = section<std::uint64_t>(Section::kShareStarts);
  const auto terms = section<std::uint32_t>(Section::kShareTerms);
  const auto layers = section<std::uint32_t>(Section::kShareLayers);
  const auto keys = section<std::uint64_t>(Section::kTermKeys);
  model.layers.reserve(starts[slot + 1] - starts[slot]);
  for (std::uint64_t i = starts[slot]; i < starts[slot + 1]; ++i) {
    LayerRecord layer{keys[terms[i]], {}, model.id, 0, layers[i] != kNone};
    if (with_names) layer.name = layer_name(terms[i]);
    if (layers[i] != kNone) {
      layer.owner = section<std::uint64_t>(Section::kOwnerIds)[owner_of_layer(layers[i])];
      layer.bytes = section<std::uint64_t>(Section::kLayerBytes)[layers[i]];
    }
    model.bytes_total += layer.bytes;
    if (layer.owner == model.id) model.bytes_owned += layer.bytes;
    model.layers.push_back(std::move(layer));
  }
  return model;
}

void Snapshot::search(const Query& query, const RetiredBits& retired, Donor& donor) const {
  verify_index();
  const auto starts = section<std::uint64_t>(Section::kPostingStarts);
  const auto postings = section<std::uint32_t>(Section::kPostings);
  const auto bytes = section<std::uint64_t>(Section::kTermBytes);
  std::vector<QueryTerm> terms;
  terms.reserve(query.keys().size());
  for (const Query::Key& key : query.keys()) {
    const auto term = find_term(key.key);
    if (!term) continue;
    terms.push_back({*term,
                     query.weight(key, bytes[*term]),
                     postings.subspan(starts[*term], starts[*term + 1] - starts[*term]),
                     {}});
  }
  if (terms.empty()) return;
  const SnapshotView view{
      section<std::uint64_t>(Section::kIds),        section<double>(Section::kQualities),
      section<std::uint64_t>(Section::kSequences),  section<std::uint64_t>(Section::kShareStarts),
      section<std::uint32_t>(Section::kShareTerms), section<std::uint32_t>(Section::kShareLayers),
      section<std::uint64_t>(Section::kLayerBytes), retired};
  const auto& fingerprints = query.options().fingerprints;
  if (!fingerprints) return parsl_tl::search(view, terms, query, donor);
  const AllowedInSnapshot allowed(*this, *fingerprints);
  if (allowed.size() == num_models()) return parsl_tl::search(view, terms, query, donor);
  if (allowed.size() > 0) parsl_tl::search(view, terms, query, donor, allowed);
}

}  // namespace parsl_tl
