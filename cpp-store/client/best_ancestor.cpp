#include "requests/best_ancestors.hpp"

#include "errors.hpp"
#include "remote_store.hpp"

namespace parsl_tl {
namespace {

// Layers of the queries that one request holds.
constexpr std::size_t kLayersAtOnce = 200'000;

BestAncestorsRequest request_of(std::span<const RemoteQuery> queries, const QueryOptions& options,
                                bool with_times) {
  BestAncestorsRequest request;
  request.starts.push_back(0);
  for (const RemoteQuery& query : queries) {
    request.layer_keys.insert(request.layer_keys.end(), query.keys.begin(), query.keys.end());
    request.weights.insert(request.weights.end(), query.weights.begin(), query.weights.end());
    request.starts.push_back(request.layer_keys.size());
  }
  request.by = static_cast<std::uint32_t>(options.by);
  request.quality_rate = options.quality_rate;
  request.min_quality = options.min_quality;
  request.exclude = options.exclude.values();
  request.with_times = with_times;
  return request;
}

void check_size(const BestAncestorsReply& reply, std::size_t queries) {
  if (reply.found.size() == queries && reply.model_ids.size() == queries &&
      reply.totals.size() == queries && reply.scores.size() == queries &&
      reply.qualities.size() == queries && reply.created_ns.size() == queries) {
    return;
  }
  throw StoreException(ErrorCode::kInvalidValue, "malformed reply: an answer for each query is due");
}

}  // namespace

std::vector<Winner> RemoteStore::best_ancestors(const std::vector<RemoteQuery>& queries,
                                                const QueryOptions& options,
                                                std::vector<double>& scores) {
  require_open();
  std::vector<Winner> winners(queries.size());
  scores.assign(queries.size(), 0.0);
  for (std::size_t first = 0; first < queries.size();) {
    std::size_t last = first;
    for (std::size_t layers = 0; last < queries.size() && layers < kLayersAtOnce; ++last) {
      layers += 1 + queries[last].keys.size();
    }
    const auto part = std::span(queries).subspan(first, last - first);
    for (const BestAncestorsReply& reply : ask_all(request_of(part, options, !is_alone()))) {
      check_size(reply, part.size());
      for (std::size_t i = 0; i < part.size(); ++i) {
        if (reply.found[i] == 0) continue;
        Winner& winner = winners[first + i];
        // Which was stored last, of models on several servers, only the time tells.
        const auto when = static_cast<std::uint64_t>(reply.created_ns[i]);
        if (!winner.loses_to(reply.totals[i], reply.qualities[i], when)) continue;
        winner = {true, reply.totals[i], reply.qualities[i], when, reply.model_ids[i], 0};
        scores[first + i] = reply.scores[i];
      }
    }
    first = last;
  }
  return winners;
}

std::shared_ptr<RemoteModel> RemoteStore::best_ancestor(const RemoteQuery& query,
                                                        const QueryOptions& options) {
  std::vector<double> scores;
  for (;;) {
    const Winner winner = best_ancestors({query}, options, scores).front();
    if (!winner.found) return nullptr;
    std::shared_ptr<RemoteModel> model = find_recent(winner.model_id);
    try {
      if (model == nullptr) model = open_living(winner.model_id);
    } catch (const StoreException& error) {
      // Retired in between: ask again. Every round means that a model was retired, so this ends.
      if (error.code() != ErrorCode::kNotFound) throw;
      continue;
    }
    // A pointer of its own: as long as one of these lives, the model counts as somebody's match.
    std::shared_ptr<RemoteModel> match(model.get(), [model](RemoteModel*) {});
    const std::lock_guard guard(mutex_);
    if (matches_.size() > 1024) {
      std::erase_if(matches_, [](const auto& entry) { return entry.second.expired(); });
    }
    auto& known = matches_[winner.model_id];
    if (auto first = known.lock()) return first;  // another thread was faster
    known = match;
    return match;
  }
}

}  // namespace parsl_tl
