#include "errors.hpp"
#include "remote_store.hpp"
#include "requests/find_donors.hpp"

namespace parsl_tl {
namespace {

// Layers of the queries that one request holds.
constexpr std::size_t kQueriedLayersAtOnce = 200'000;

FindDonorsRequest request_of(std::span<const RemoteQuery> queries, const QueryOptions& options,
                             bool with_times) {
  FindDonorsRequest request;
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
  if (options.fingerprints) request.fingerprints = options.fingerprints->values();
  request.with_times = with_times;
  return request;
}

void check_size(const FindDonorsReply& reply, std::size_t queries) {
  if (reply.found.size() == queries && reply.model_ids.size() == queries &&
      reply.totals.size() == queries && reply.scores.size() == queries &&
      reply.qualities.size() == queries && reply.created_ns.size() == queries) {
    return;
  }
  throw StoreException(ErrorCode::kInvalidValue,
                       "malformed reply: an answer for each query is due");
}

/// Whether a server's answer to a query is better than those of the others so far.
bool enter(const FindDonorsReply& reply, std::size_t i, Donor& donor) {
  if (reply.found[i] == 0) return false;
  // Which was stored last, of models on several servers, only the time tells.
  const auto when = static_cast<std::uint64_t>(reply.created_ns[i]);
  if (!donor.loses_to(reply.totals[i], reply.qualities[i], when)) return false;
  donor = {true, reply.totals[i], reply.qualities[i], when, reply.model_ids[i], 0};
  return true;
}

}  // namespace

/// `opened` is empty where the model is open already, or was not to be opened.
struct RemoteStore::Best {
  std::uint64_t model_id = 0;
  std::int64_t created_ns = 0;
  std::optional<OpenModelReply> opened;
  Lease lease;
};

std::vector<Donor> RemoteStore::find_donors(const std::vector<RemoteQuery>& queries,
                                            const QueryOptions& options,
                                            std::vector<double>& scores) {
  require_open();
  std::vector<Donor> donors(queries.size());
  scores.assign(queries.size(), 0.0);
  for (std::size_t first = 0; first < queries.size();) {
    std::size_t last = first;
    for (std::size_t layers = 0; last < queries.size() && layers < kQueriedLayersAtOnce; ++last) {
      layers += 1 + queries[last].keys.size();
    }
    const auto part = std::span(queries).subspan(first, last - first);
    for (const FindDonorsReply& reply : ask_all(request_of(part, options, !is_alone()))) {
      check_size(reply, part.size());
      for (std::size_t i = 0; i < part.size(); ++i) {
        if (enter(reply, i, donors[first + i])) scores[first + i] = reply.scores[i];
      }
    }
    first = last;
  }
  return donors;
}

/// A server that is alone opens the model that it finds. Of several only one has the model that
/// wins: the others would map and keep theirs for nothing, so there they only tell the composition,
/// and that only where it is all that is needed.
std::optional<RemoteStore::Best> RemoteStore::ask_for_best(const RemoteQuery& query,
                                                           const QueryOptions& options) {
  const FindDonorsRequest shared = request_of({&query, 1}, options, !is_alone());
  const auto is_kept = [](const RemoteModel& model) { return model.is_kept(); };
  const std::vector<std::uint64_t> open_here = recent_.ids_if(is_kept);
  std::vector<FindDonorsReply> replies(connections().size());
  std::vector<Lease> leases(connections().size());
  parts_->fanout->run(replies.size(), [&](std::size_t i) {
    ServerConnection& connection = *connections()[i];
    FindDonorsRequest request = shared;
    leases[i] = new_lease(connection);
    request.opens = is_alone() || !leases[i].is_kept;
    if (request.opens) {
      request.open_here = open_here;
      request.let_go = parts_->let_go.take(connection.index());
      if (leases[i].is_kept) request.lease = leases[i].number;
    }
    replies[i] = connection.ask(request);
    check_size(replies[i], 1);
  });
  Donor donor;
  std::size_t server = 0;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (enter(replies[i], 0, donor)) server = i;
  }
  if (!donor.found) return std::nullopt;
  if (replies[server].opened && home(donor.model_id).index() != server) {
    throw StoreException(
        ErrorCode::kInvalidValue,
        "malformed reply: model " + hex_id(donor.model_id) + " is of another server");
  }
  FindDonorsReply& reply = replies[server];
  const std::int64_t created = reply.opened ? reply.opened->created_ns : reply.created_ns[0];
  return Best{donor.model_id, created, std::move(reply.opened), leases[server]};
}

/// Throws kNotFound if it was retired in between.
std::shared_ptr<RemoteModel> RemoteStore::match_of(const Best& best) {
  if (best.created_ns != 0) forget_unless(best.model_id, best.created_ns);
  if (best.opened) {
    const auto composition = Composition::from(best.model_id, *best.opened);
    compositions_.keep(best.model_id, composition);
    try {
      return opened(*composition, *best.opened, best.lease);
    } catch (const StoreException& error) {
      // A file that is no longer there: asked for by itself, the server tells why.
      if (error.code() != ErrorCode::kNotFound) throw;
    }
  } else if (auto recent = find_recent(best.model_id)) {
    return recent;
  }
  return open_living(best.model_id);
}

std::shared_ptr<RemoteModel> RemoteStore::find_donor(const RemoteQuery& query,
                                                     const QueryOptions& options) {
  require_open();
  for (;;) {
    std::shared_ptr<RemoteModel> model;
    try {
      model = with_one_answerer([&]() -> std::shared_ptr<RemoteModel> {
        const std::optional<Best> best = ask_for_best(query, options);
        return best ? match_of(*best) : nullptr;
      });
    } catch (const StoreException& error) {
      // Retired in between: ask again. Every round means that a model was retired, so this ends.
      if (error.code() != ErrorCode::kNotFound) throw;
      continue;
    }
    if (model == nullptr) return nullptr;
    // A pointer of its own: as long as one of these lives, the model counts as somebody's match.
    std::shared_ptr<RemoteModel> match(model.get(), [model](RemoteModel*) {});
    return matches_.keep(model->id, match);
  }
}

}  // namespace parsl_tl
