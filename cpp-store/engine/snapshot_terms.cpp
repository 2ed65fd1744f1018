#include "snapshot_terms.hpp"

#include <algorithm>
#include <bit>

#include "layer_name.hpp"

namespace parsl_tl {
namespace {

/// Gives names their codes. A class takes one text however many layers are of it, since their names
/// follow from it and the key.
class NameCodes {
 public:
  std::uint32_t code(const std::string& name, std::uint64_t key) {
    const auto parsed = parse_layer_name(name);
    if (!parsed || parsed->twin != 0 || parsed->prefix_hash != key) {
      odd_names_.push_back(name);
      return kOddName | static_cast<std::uint32_t>(odd_names_.size() - 1);
    }
    const auto [found, is_new] = classes_.emplace(std::string(parsed->class_name),
                                                  static_cast<std::uint32_t>(class_names_.size()));
    if (is_new) class_names_.emplace_back(parsed->class_name);
    return found->second;
  }

  std::size_t num_classes() const noexcept { return class_names_.size(); }
  std::vector<std::string> texts() const {
    std::vector<std::string> texts = class_names_;
    texts.insert(texts.end(), odd_names_.begin(), odd_names_.end());
    return texts;
  }

 private:
  std::unordered_map<std::string, std::uint32_t> classes_;
  std::vector<std::string> class_names_;
  std::vector<std::string> odd_names_;
};

}  // namespace

SnapshotTerms::SnapshotTerms(const Snapshot* base)
    : base_(base), kept_(base ? base->header().terms : 0) {}

void SnapshotTerms::number() {
  // Two ascending runs to merge: old terms that are kept, and keys that were added.
  std::vector<std::uint64_t> added;
  added.reserve(added_.size());
  for (const auto& entry : added_) added.push_back(entry.first);
  std::sort(added.begin(), added.end());
  const auto old_keys =
      base_ ? base_->section<std::uint64_t>(Section::kTermKeys) : std::span<const std::uint64_t>();
  renumbered_.assign(old_keys.size(), kNone);
  std::size_t next = 0;
  for (std::size_t term = 0; term < old_keys.size(); ++term) {
    while (next < added.size() && added[next] < old_keys[term]) keys_.push_back(added[next++]);
    const bool also_added = next < added.size() && added[next] == old_keys[term];
    if (also_added) ++next;
    if (!kept_[term] && !also_added) continue;
    renumbered_[term] = static_cast<std::uint32_t>(keys_.size());
    keys_.push_back(old_keys[term]);
  }
  keys_.insert(keys_.end(), added.begin() + static_cast<std::ptrdiff_t>(next), added.end());
}

std::uint32_t SnapshotTerms::number_of(std::uint64_t key) const {
  return static_cast<std::uint32_t>(std::lower_bound(keys_.begin(), keys_.end(), key) -
                                    keys_.begin());
}

std::unordered_map<std::uint64_t, std::uint32_t> SnapshotTerms::added() const {
  std::unordered_map<std::uint64_t, std::uint32_t> numbers;
  for (const auto& entry : added_) numbers[entry.first] = number_of(entry.first);
  return numbers;
}

SnapshotTerms::Names SnapshotTerms::names() const {
  Names names{std::vector<std::uint32_t>(keys_.size(), kNone), {}, 0};
  NameCodes codes;
  const auto old_codes =
      base_ ? base_->section<std::uint32_t>(Section::kTermNames) : std::span<const std::uint32_t>();
  // Names of one class need not be written out one by one.
  std::vector<std::uint32_t> new_codes(base_ ? base_->header().num_classes : 0, kNone);
  for (std::uint32_t term = 0; term < renumbered_.size(); ++term) {
    if (renumbered_[term] == kNone) continue;
    const auto make_code = [&] {
      return codes.code(base_->layer_name(term), keys_[renumbered_[term]]);
    };
    std::uint32_t& code = names.codes[renumbered_[term]];
    if ((old_codes[term] & kOddName) != 0) {
      code = make_code();
    } else {
      std::uint32_t& known = new_codes[old_codes[term]];
      if (known == kNone) known = make_code();
      code = known;
    }
  }
  for (const auto& entry : added_) {
    std::uint32_t& code = names.codes[number_of(entry.first)];
    if (code == kNone) code = codes.code(entry.second, entry.first);
  }
  names.texts = codes.texts();
  names.num_classes = codes.num_classes();
  return names;
}

std::vector<std::uint32_t> SnapshotTerms::buckets() const {
  // About eight keys to a bucket: a lookup touches two cache lines.
  const int bits = std::max(0, static_cast<int>(std::bit_width(keys_.size())) - 3);
  std::vector<std::uint32_t> buckets((std::size_t{1} << bits) + 1, 0);
  for (const std::uint64_t key : keys_) ++buckets[(bits == 0 ? 0 : key >> (64 - bits)) + 1];
  for (std::size_t i = 1; i < buckets.size(); ++i) buckets[i] += buckets[i - 1];
  return buckets;
}

}  // namespace parsl_tl
