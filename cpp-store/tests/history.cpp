#include "history.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "layer_name.hpp"

namespace parsl_tl::testing {

History::History(const HistoryOptions& options) : options_(options), random_(options.seed) {
  const char* const classes[] = {"Dense", "Add", "Dropout", "Conv_2D"};
  while (layers_.size() < options.num_layers) {
    const std::uint64_t hash = random_();
    const std::string class_name = classes[random_.below(4)];
    // Every third layer comes with twins, and a few with names that no key follows from.
    const std::uint64_t twins = random_.chance(0.3) ? 3 : 1;
    for (std::uint64_t twin = 0; twin < twins; ++twin) {
      std::string name = format_layer_name(class_name, hash, twin);
      if (random_.chance(0.05)) name = "odd name " + std::to_string(layers_.size());
      const bool has_weights = random_.chance(0.7);
      const std::uint64_t bytes = has_weights && random_.chance(0.9) ? 8 * random_.below(5) : 0;
      layers_.push_back({name, layer_key(hash, twin), bytes, has_weights});
    }
  }
}

std::uint64_t History::bytes_of(std::uint64_t key) const {
  for (const Layer& layer : layers_) {
    if (layer.key == key) return layer.bytes;
  }
  return 0;
}

std::vector<History::Layer> History::choose_layers() {
  // Common prefixes: all models begin somewhere near the beginning.
  std::vector<Layer> chosen;
  const std::size_t most = 1 + random_.below(layers_.size() / 2);
  for (std::size_t i = random_.below(3); i < layers_.size() && chosen.size() < most; ++i) {
    if (random_.chance(0.8)) chosen.push_back(layers_[i]);
  }
  if (chosen.empty()) chosen.push_back(layers_.front());
  if (random_.chance(0.2)) std::reverse(chosen.begin(), chosen.end());
  return chosen;
}

LayerRecord History::layer_for(std::uint64_t model, const Layer& layer, const Catalog& catalog) {
  LayerRecord record{layer.key, layer.name, model, layer.bytes, layer.has_weights};
  if (layer.has_weights && !living_.empty() && random_.chance(0.7)) {
    const auto source = catalog.find(random_.pick(living_));
    for (const LayerRecord& other : source->layers) {
      if (other.key == layer.key) record.owner = other.owner;
    }
  }
  return record;
}

Record History::make(std::uint64_t id, const std::vector<Layer>& layers, const Catalog& catalog) {
  Record record;
  record.model_id = id;
  record.created_ns = static_cast<std::int64_t>(random_.below(1000));
  record.quality = static_cast<double>(random_.below(4)) / 4.0 - 0.25;
  if (!used_.empty() && random_.chance(0.7)) record.parent = random_.pick(used_);
  if (!living_.empty() && random_.chance(0.3)) record.donor = random_.pick(living_);
  record.fingerprint = random_fingerprint();
  if (random_.chance(0.3)) record.attributes = "{\"n\": " + std::to_string(random_.below(9)) + "}";
  bool owns = false;
  for (const Layer& layer : layers) {
    record.layers.push_back(layer_for(id, layer, catalog));
    owns |= record.layers.back().has_weights && record.layers.back().owner == id;
  }
  record.segment_bytes = owns ? 1000 + random_.below(1000) : 0;
  return record;
}

Record History::put(const Catalog& catalog) {
  const std::uint64_t id = random_();
  Record record = make(id, choose_layers(), catalog);
  living_.push_back(id);
  used_.push_back(id);
  return record;
}

std::vector<Record> History::depart(const Catalog& catalog) {
  Record gone;
  gone.operation = Operation::kDeparted;
  gone.model_id = random_();
  if (!used_.empty()) gone.parent = random_.pick(used_);
  Record heir = put(catalog);
  for (LayerRecord& layer : heir.layers) {
    if (!layer.has_weights || !random_.chance(0.5)) continue;
    layer.owner = gone.model_id;
    gone.layers.push_back({layer.key, "", gone.model_id, layer.bytes, true});
  }
  if (!gone.layers.empty()) gone.segment_bytes = 1000 + random_.below(1000);
  used_.push_back(gone.model_id);
  return {gone, heir};
}

std::optional<Record> History::retire() {
  if (living_.empty()) return std::nullopt;
  Record record;
  record.operation = Operation::kRetire;
  const std::size_t place = random_.below(living_.size());
  record.model_id = living_[place];
  living_.erase(living_.begin() + static_cast<std::ptrdiff_t>(place));
  return record;
}

std::optional<Record> History::shrink(const Catalog& catalog) {
  if (used_.empty()) return std::nullopt;
  Record record;
  record.operation = Operation::kShrink;
  record.model_id = random_.pick(used_);
  const std::uint64_t before = catalog.segment_bytes(record.model_id);
  record.segment_bytes = before > 100 ? before - 100 : before;
  return record;
}

std::vector<Record> History::next(const Catalog& catalog) {
  std::optional<Record> record;
  if (random_.chance(options_.depart)) return depart(catalog);
  if (random_.chance(options_.retire)) {
    record = retire();
  } else if (random_.chance(0.1)) {
    record = shrink(catalog);
  }
  return {record ? *record : put(catalog)};
}

std::uint64_t History::random_fingerprint() {
  constexpr std::uint64_t kFingerprints[] = {0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, ~0ULL};
  return kFingerprints[random_.below(std::size(kFingerprints))];
}

std::vector<std::uint64_t> History::query_keys() {
  std::vector<std::uint64_t> keys;
  for (const Layer& layer : choose_layers()) keys.push_back(layer.key);
  while (random_.chance(0.2)) keys.push_back(random_());
  while (random_.chance(0.1)) keys.push_back(random_.pick(keys));
  return keys;
}

void apply(Catalog& catalog, const std::vector<Record>& records, std::uint64_t offset) {
  for (std::uint32_t row = 0; row < records.size(); ++row) {
    catalog.apply(Catalog::prepare(records[row], {offset, row}, catalog.next_sequence()));
  }
}

namespace {

std::string shown(const std::optional<std::uint64_t>& value) {
  return value ? std::to_string(*value) : "none";
}

void describe_model(const Model& model, std::ostream& out) {
  out << "model " << model.id << " #" << model.sequence << " at " << model.created_ns << " quality "
      << model.quality << " parent " << shown(model.parent) << " donor " << shown(model.donor)
      << " of data " << model.fingerprint << " owned " << model.bytes_owned << " of "
      << model.bytes_total << " place " << model.place.offset << ":" << model.place.row << " "
      << model.attributes << "\n";
  for (const LayerRecord& layer : model.layers) {
    out << "  " << layer.name << " " << layer.key << " of " << layer.owner << " bytes "
        << layer.bytes << (layer.has_weights ? "" : " bare") << "\n";
  }
}

}  // namespace

std::string describe(const Catalog& catalog) {
  std::ostringstream out;
  out << "models " << catalog.num_models() << " live " << catalog.bytes_live() << " segments "
      << catalog.bytes_segments() << " next " << catalog.next_sequence() << "\n";
  catalog.for_each_model(true, [&](const Model& model) {
    describe_model(model, out);
    const auto found = catalog.find(model.id);
    std::ostringstream again;
    describe_model(*found, again);
    out << (catalog.contains(model.id) ? "" : "  not contained\n") << again.str();
  });
  std::set<std::string> lines;
  catalog.for_each_layer([&](std::uint64_t owner, std::uint64_t key, const LayerUse& use) {
    const auto found = catalog.find_layer(owner, key);
    lines.insert("layer " + std::to_string(owner) + " " + std::to_string(key) + " bytes " +
                 std::to_string(use.bytes) + " references " + std::to_string(use.references) +
                 (found && found->references == use.references ? "" : " not found"));
  });
  catalog.for_each_owner([&](std::uint64_t owner, std::uint64_t bytes) {
    lines.insert("owner " + std::to_string(owner) + " " + std::to_string(bytes) + " " +
                 std::to_string(catalog.segment_bytes(owner)));
  });
  catalog.for_each_used([&](std::uint64_t id, std::optional<std::uint64_t> parent, bool living) {
    std::string line =
        "used " + std::to_string(id) + " " + shown(parent) + (living ? " living" : "");
    for (const std::uint64_t above : catalog.ancestors(id)) line += " < " + std::to_string(above);
    lines.insert(line + (catalog.was_used(id) ? "" : " unknown"));
  });
  for (const std::string& line : lines) out << line << "\n";
  return out.str();
}

Donor brute_force(const Catalog& catalog, const History& history, const Query& query) {
  std::map<std::uint64_t, std::uint64_t> weights;
  for (const Query::Key& key : query.keys()) {
    weights[key.key] = query.weight(key, history.bytes_of(key.key));
  }
  const QueryOptions& options = query.options();
  Donor donor;
  catalog.for_each_model(false, [&](const Model& model) {
    if (options.min_quality && model.quality < *options.min_quality) return;
    if (options.exclude.contains(model.id)) return;
    if (options.fingerprints && !options.fingerprints->contains(model.fingerprint)) return;
    std::uint64_t score = 0;
    bool shares = false;
    for (const LayerRecord& layer : model.layers) {
      const auto weight = weights.find(layer.key);
      if (weight == weights.end()) continue;
      shares = true;
      score += weight->second;
    }
    const double total = query.total(score, model.quality);
    if (shares && donor.loses_to(total, model.quality, model.sequence)) {
      donor = {true, total, model.quality, model.sequence, model.id, score};
    }
  });
  return donor;
}

}  // namespace parsl_tl::testing
