// Random histories of a catalog: puts with inheritance, retirements, compactions' records.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog.hpp"
#include "random.hpp"

namespace parsl_tl::testing {

struct HistoryOptions {
  std::uint64_t seed = 1;
  std::size_t num_layers = 60;  // distinct ones; few, so that models share many
  double retire = 0.3;
  double depart = 0.05;
};

/// Makes records that fit a catalog's state, with many ties in quality and many common layers.
/// Whatever is asked of a layer (its name, bytes, whether it has tensors) follows from its key.
class History {
 public:
  explicit History(const HistoryOptions& options);

  /// What comes next, after what `catalog` holds; several where one needs the next.
  std::vector<Record> next(const Catalog& catalog);

  /// Some of the layers' keys, and now and then one that no model holds.
  std::vector<std::uint64_t> query_keys();
  std::uint64_t bytes_of(std::uint64_t key) const;
  /// Of the data of a model: none was said of half of them, and few are of the last.
  std::uint64_t random_fingerprint();
  Random& random() noexcept { return random_; }

 private:
  struct Layer {
    std::string name;
    std::uint64_t key;
    std::uint64_t bytes;
    bool has_weights;
  };

  Record put(const Catalog& catalog);
  std::vector<Record> depart(const Catalog& catalog);
  std::optional<Record> retire();
  std::optional<Record> shrink(const Catalog& catalog);
  LayerRecord layer_for(std::uint64_t model, const Layer& layer, const Catalog& catalog);
  std::vector<Layer> choose_layers();
  Record make(std::uint64_t id, const std::vector<Layer>& layers, const Catalog& catalog);

  HistoryOptions options_;
  Random random_;
  std::vector<Layer> layers_;
  std::vector<std::uint64_t> living_;
  std::vector<std::uint64_t> used_;
};

/// Applies records as replaying a log does, one frame for all of them.
void apply(Catalog& catalog, const std::vector<Record>& records, std::uint64_t offset);

/// Everything that a catalog tells, as text; equal for equal states, whatever their form.
std::string describe(const Catalog& catalog);

/// The catalog's answer, found by looking at every model.
Donor brute_force(const Catalog& catalog, const History& history, const Query& query);

}  // namespace parsl_tl::testing
