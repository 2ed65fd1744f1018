#include "prefix_search.hpp"

#include <cmath>

#include "errors.hpp"

namespace parsl_tl {
namespace {

constexpr double kWeightUnit = 1.0 / 65536;
constexpr double kMostWeight = 1e6;

}  // namespace

Query::Query(std::span<const std::uint64_t> keys, std::span<const double> weights,
             QueryOptions options)
    : options_(std::move(options)) {
  const auto refuse = [](const std::string& why) {
    throw StoreException(ErrorCode::kInvalidValue, why);
  };
  if (!(options_.quality_rate >= 0.0) || !std::isfinite(options_.quality_rate)) {
    refuse("the worth of quality is " + std::to_string(options_.quality_rate) +
           "; it must be a finite number of at least 0");
  }
  if (options_.min_quality && std::isnan(*options_.min_quality)) refuse("the least quality is NaN");
  const bool weighted = options_.by == ScoreBy::kWeights;
  if (weights.size() != (weighted ? keys.size() : 0)) refuse("one weight for each key is needed");
  for (std::size_t i = 0; i < keys.size(); ++i) {
    std::uint64_t weight = 1;
    if (weighted) {
      if (!(weights[i] >= 0.0 && weights[i] <= kMostWeight)) {
        refuse("the weight of a layer is " + std::to_string(weights[i]) +
               "; it must lie between 0 and a million");
      }
      weight = static_cast<std::uint64_t>(std::llround(weights[i] / kWeightUnit));
    }
    keys_.push_back({keys[i], weight});
  }
  if (weighted) unit_ = kWeightUnit;
  std::stable_sort(keys_.begin(), keys_.end(),
                   [](const Key& a, const Key& b) { return a.key < b.key; });
  keys_.erase(std::unique(keys_.begin(), keys_.end(),
                          [](const Key& a, const Key& b) { return a.key == b.key; }),
              keys_.end());
}

}  // namespace parsl_tl
