#include <algorithm>

#include "handlers.hpp"

namespace parsl_tl {
namespace {

void refuse_if(bool wrong, const char* why) {
  if (wrong) throw StoreException(ErrorCode::kInvalidValue, why);
}

// So many answers fit into a reply.
constexpr std::size_t kMostQueries = kMostMessageBytes / 64;

std::vector<Query> queries_of(const FindDonorsRequest& request) {
  refuse_if(request.by > static_cast<std::uint32_t>(ScoreBy::kWeights), "an unknown score");
  refuse_if(!(request.quality_rate >= 0), "the quality's rate must be at least 0");
  refuse_if(!request.weights.empty() && request.weights.size() != request.layer_keys.size(),
            "each layer has a weight, or none has");
  refuse_if(request.starts.empty() || request.starts.front() != 0 ||
                request.starts.back() != request.layer_keys.size(),
            "queries must begin at 0 and end with the last layer");
  // All of it before anything is taken: one that goes back later may have gone too far before.
  refuse_if(!std::is_sorted(request.starts.begin(), request.starts.end()),
            "queries must not overlap");
  refuse_if(request.starts.size() > kMostQueries, "more than 262143 queries in one request");
  const auto set_of = [](const std::vector<std::uint64_t>& ids) {
    return IdSet({ids.begin(), ids.end()});
  };
  QueryOptions options{static_cast<ScoreBy>(request.by),
                       request.quality_rate,
                       request.min_quality,
                       set_of(request.exclude),
                       {}};
  if (request.fingerprints) options.fingerprints = set_of(*request.fingerprints);
  std::vector<Query> queries;
  queries.reserve(request.starts.size() - 1);
  for (std::size_t i = 0; i + 1 < request.starts.size(); ++i) {
    const std::uint64_t begin = request.starts[i];
    const std::uint64_t size = request.starts[i + 1] - begin;
    const std::span<const double> weights(request.weights);
    queries.emplace_back(std::span(request.layer_keys).subspan(begin, size),
                         weights.empty() ? weights : weights.subspan(begin, size), options);
  }
  return queries;
}

/// When the donor was stored; 0 if it was retired in between.
std::int64_t time_of(Engine& engine, const Donor& donor) {
  try {
    return engine.model(donor.model_id).created_ns;
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return 0;
  }
}

/// Nothing if it was retired in between, or a segment is missing: who opens it by itself gets an
/// error which.
std::optional<OpenModelReply> opened(CallContext& call, std::uint64_t model_id,
                                     std::uint64_t lease) {
  try {
    return open_found(call, model_id, lease);
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return std::nullopt;
  }
}

}  // namespace

FindDonorsReply handle(CallContext& call, const FindDonorsRequest& request) {
  const std::vector<Query> queries = queries_of(request);
  refuse_if(request.opens && queries.size() != 1, "one model is opened at a time");
  call.client.let_go(request.let_go);
  // One thread: other clients want an answer too.
  const std::vector<Donor> donors = call.engine.find_donors(queries, 1);
  FindDonorsReply reply;
  for (std::size_t i = 0; i < donors.size(); ++i) {
    const Donor& donor = donors[i];
    reply.found.push_back(donor.found ? 1 : 0);
    reply.model_ids.push_back(donor.model_id);
    reply.totals.push_back(donor.total);
    reply.scores.push_back(queries[i].score(donor.score));
    reply.qualities.push_back(donor.quality);
    const bool timed = request.with_times && donor.found;
    reply.created_ns.push_back(timed ? time_of(call.engine, donor) : 0);
  }
  if (!request.opens || !donors.front().found) return reply;
  const std::uint64_t best = donors.front().model_id;
  const auto& known = request.open_here;
  if (std::find(known.begin(), known.end(), best) == known.end()) {
    reply.opened = opened(call, best, request.lease);
  }
  return reply;
}

}  // namespace parsl_tl
