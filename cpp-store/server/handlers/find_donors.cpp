#include <algorithm>

#include "following.hpp"
#include "handlers.hpp"

namespace parsl_tl {
namespace {

void refuse_if(bool wrong, const char* why) {
  if (wrong) throw StoreException(ErrorCode::kInvalidValue, why);
}

// So many donors of followed stores that cannot be had are passed over; then the server's own are
// what is left.
constexpr std::size_t kMostPassedOver = 8;
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
  return engine.created_ns(donor.model_id).value_or(0);
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

using Found = Following::Found;

std::vector<Found> search(CallContext& call, const std::vector<Query>& queries, bool is_near) {
  std::vector<Found> found(queries.size());
  // For whom this server stands in, nothing is nearer than its copy.
  if (call.stands_for != nullptr && is_near) return found;
  // One thread: other clients want an answer too.
  const std::vector<Donor> own = call.engine.find_donors(queries, 1);
  for (std::size_t i = 0; i < own.size(); ++i) found[i].donor = own[i];
  if (call.following() != nullptr && !is_near) call.following()->enter(queries, found);
  return found;
}

FindDonorsReply reply_of(CallContext& call, const FindDonorsRequest& request,
                         const std::vector<Query>& queries, const std::vector<Found>& found) {
  FindDonorsReply reply;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const Donor& donor = found[i].donor;
    reply.found.push_back(donor.found ? 1 : 0);
    reply.model_ids.push_back(donor.model_id);
    reply.totals.push_back(donor.total);
    reply.scores.push_back(queries[i].score(donor.score));
    reply.qualities.push_back(donor.quality);
    const bool timed = request.with_times && donor.found && found[i].store == nullptr;
    reply.created_ns.push_back(timed ? time_of(call.engine, donor) : 0);
  }
  return reply;
}

}  // namespace

FindDonorsReply handle(CallContext& call, const FindDonorsRequest& request) {
  call.client.let_go(request.let_go);
  std::optional<FindDonorsRequest> narrowed;  // without donors that cannot be had
  for (std::size_t passed_over = 0;; ++passed_over) {
    const std::vector<Query> queries = queries_of(narrowed ? *narrowed : request);
    refuse_if(request.opens && queries.size() != 1, "one model is opened at a time");
    const bool is_near = passed_over >= kMostPassedOver;
    const std::vector<Found> found = search(call, queries, is_near);
    FindDonorsReply reply = reply_of(call, request, queries, found);
    if (!request.opens || !found.front().donor.found) return reply;
    const std::uint64_t best = found.front().donor.model_id;
    const auto& known = request.open_here;
    if (std::find(known.begin(), known.end(), best) != known.end()) {
      reply.created_ns.front() = time_of(engine_of(call, best), found.front().donor);
      return reply;
    }
    const auto& store = found.front().store;
    if (store == nullptr && call.stands_for == nullptr) {
      reply.opened = opened(call, best, request.lease);
      return reply;
    }
    try {
      reply.opened = store ? open_followed(call, *store, best, request.lease)
                           : open_found(call, best, request.lease);
      return reply;
    } catch (const StoreException& error) {
      // Retired meanwhile, or the other store is cut off and its weights are not here: the next
      // best donor is as far away as need be.
      if (error.code() != ErrorCode::kNotFound && error.code() != ErrorCode::kIo) throw;
      if (!narrowed) narrowed = request;
      narrowed->exclude.push_back(best);
    }
  }
}

}  // namespace parsl_tl
