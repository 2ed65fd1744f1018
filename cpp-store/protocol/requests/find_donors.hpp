// Which model shares the longest prefix? For one architecture, or for many at once.
//
// Who asks for one may have the model opened with the answer, as OpenModelRequest does it: that
// saves a round trip.
#pragma once

#include "open_model.hpp"

namespace parsl_tl {

struct FindDonorsReply {
  std::vector<std::uint8_t> found;
  std::vector<std::uint64_t> model_ids;
  std::vector<double> totals;  // what is compared
  std::vector<double> scores;  // the prefix's part of it
  std::vector<double> qualities;
  std::vector<std::int64_t> created_ns;  // 0 unless asked for, or the client has it open
  std::optional<OpenModelReply> opened;  // not if it was retired meanwhile, or is open already

  static void fields(auto& self, auto&& field) {
    field("found", self.found);
    field("model_ids", self.model_ids);
    field("totals", self.totals);
    field("scores", self.scores);
    field("qualities", self.qualities);
    field("created_ns", self.created_ns);
    field("opened", self.opened);
  }
};

struct FindDonorsRequest {
  static constexpr RequestKind kKind = RequestKind::kFindDonors;
  static constexpr bool kMayStandIn = true;
  using Reply = FindDonorsReply;
  std::vector<std::uint64_t> starts;  // one more than there are queries
  std::vector<std::uint64_t> layer_keys;
  std::vector<double> weights;  // one for each key, or none
  std::uint32_t by = 0;         // see ScoreBy
  double quality_rate = 0.0;
  std::optional<double> min_quality;
  std::vector<std::uint64_t> exclude;
  std::optional<std::vector<std::uint64_t>> fingerprints;  // of the data; see QueryOptions
  bool with_times = false;  // several servers are asked: when it was stored decides ties
  bool opens = false;       // for one query only
  std::uint64_t lease = 0;  // see OpenModelRequest
  std::vector<std::uint64_t> let_go;
  std::vector<std::uint64_t> open_here;  // models that the client has open

  static void fields(auto& self, auto&& field) {
    field("starts", self.starts);
    field("layer_keys", self.layer_keys);
    field("weights", self.weights);
    field("by", self.by);
    field("quality_rate", self.quality_rate);
    field("min_quality", self.min_quality);
    field("exclude", self.exclude);
    field("fingerprints", self.fingerprints);
    field("with_times", self.with_times);
    field("opens", self.opens);
    field("lease", self.lease);
    field("let_go", self.let_go);
    field("open_here", self.open_here);
  }
};

}  // namespace parsl_tl
