// What models hold on other servers than their own: taken before a model is stored, let go of when
// it is retired, and where nothing came of it. See attempts.hpp for why none is lost under way.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "errors.hpp"
#include "process_origin.hpp"
#include "remote_store.hpp"
#include "requests/begin_put.hpp"
#include "requests/hold.hpp"
#include "requests/list_holds.hpp"
#include "requests/release.hpp"
#include "server_hold.hpp"

namespace parsl_tl {
namespace {

constexpr std::size_t kAtOnce = 100'000;
// How often the attempt that has a hold may change while another one asks for it.
constexpr int kTakeovers = 5;

}  // namespace

/// What the model inherits, and from where: the request gets to know the owners, and what is held
/// on other servers than the model's own comes back.
std::vector<HoldRequest> RemoteStore::add_inherited(PutRequest& request) {
  std::shared_ptr<const Composition> source;
  try {
    if (request.donor) {
      source = composition(*request.donor);
    } else if (request.parent) {
      source = composition(*request.parent);
    }
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    request.parent_is_gone = !request.donor;
    if (request.donor) {
      throw StoreException(ErrorCode::kDonorGone,
                           "model " + hex_id(request.model_id) + " cannot inherit from " +
                               hex_id(*request.donor) +
                               ", which was retired or never stored; store all of its weights");
    }
  }
  request.inherited.emplace();
  if (source == nullptr) return {};
  std::unordered_map<std::uint64_t, const Composition::Layer*> shared;
  for (const Composition::Layer& layer : source->layers) shared[layer.key] = &layer;
  std::unordered_set<std::uint32_t> own;
  for (const TensorArgument& tensor : request.tensors) own.insert(tensor.layer);
  std::map<std::uint32_t, HoldRequest> holds;
  const std::uint32_t here = home(request.model_id).index();
  for (std::uint32_t i = 0; i < request.layer_keys.size(); ++i) {
    const auto found = shared.find(request.layer_keys[i]);
    if (own.contains(i) || found == shared.end() || !found->second->has_weights) continue;
    const Composition::Layer& layer = *found->second;
    request.inherited->push_back({i, layer.owner, layer.bytes});
    const std::uint32_t there = home(layer.owner).index();
    if (there == here) continue;
    HoldRequest& hold = holds[there];
    hold.model_id = request.model_id;
    hold.layer_keys.push_back(layer.key);
    hold.layer_names.push_back(request.layer_names[i]);
    hold.owners.push_back(layer.owner);
  }
  std::vector<HoldRequest> result;
  result.reserve(holds.size());
  for (auto& [server, hold] : holds) result.push_back(std::move(hold));
  return result;
}

void RemoteStore::begin_put(std::uint64_t model_id, std::uint64_t attempt) {
  const auto process = static_cast<std::uint64_t>(process_);
  home(model_id).ask(
      BeginPutRequest{model_id, attempt, process_space(), process, start_of(process).value_or(0)});
}

void RemoteStore::take_holds(const std::vector<HoldRequest>& holds, std::uint64_t attempt) {
  parts_->fanout->run(holds.size(), [&](std::size_t i) { take_hold(holds[i], attempt); });
}

/// An earlier attempt that came to nothing may have one already: the model's home knows.
void RemoteStore::take_hold(const HoldRequest& hold, std::uint64_t attempt) {
  ServerConnection& connection = home(hold.owners.front());
  ServerConnection& own = home(hold.model_id);
  HoldMessage message{hold.model_id,
                      hold.layer_keys,
                      hold.layer_names,
                      hold.owners,
                      attempt,
                      own.store().text(),
                      0};
  for (int i = 0; i < kTakeovers; ++i) {
    const HoldReply reply = connection.ask(message);
    if (reply.is_taken) return;
    SettleRequest request{{hold.model_id},
                          {reply.attempt},
                          connection.index(),
                          static_cast<std::uint32_t>(SettleHow::kEnd)};
    const SettleReply settled = own.ask(request);
    if (settled.states.size() != 1) {
      throw StoreException(ErrorCode::kInvalidValue, "malformed reply: one state is due");
    }
    if (settled.states[0] != static_cast<std::uint8_t>(AttemptState::kOver)) break;
    message.replaces = reply.attempt;
  }
  throw StoreException(ErrorCode::kBusy, "another attempt to store model " + hex_id(hold.model_id) +
                                             " is under way; try again later");
}

/// After a put that failed. What cannot be let go of now is found when the store is compacted.
void RemoteStore::drop_holds(const std::vector<HoldRequest>& holds,
                             const std::vector<std::uint64_t>& attempts) {
  std::vector<ServerHold> taken;
  for (const HoldRequest& hold : holds) {
    const std::uint32_t server = home(hold.owners.front()).index();
    for (const std::uint64_t attempt : attempts) taken.push_back({server, hold.model_id, attempt});
  }
  try {
    release_unless_needed(taken, SettleHow::kGiveUp);
  } catch (const StoreException&) {
    // The error that made the put fail is the one to be told.
  }
}

/// Attempts whose servers could not be asked when they failed.
void RemoteStore::give_up_abandoned() {
  std::vector<Abandoned> all;
  {
    const std::lock_guard guard(abandoned_mutex_);
    all.swap(abandoned_);
  }
  for (const Abandoned& put : all) drop_holds(put.holds, put.attempts);
}

/// On the word of the models' homes, and for as long as they are the homes that the holds tell of.
std::uint64_t RemoteStore::release_unless_needed(const std::vector<ServerHold>& holds,
                                                 SettleHow how) {
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<ServerHold>> groups;
  for (const ServerHold& hold : holds) {
    groups[{home(hold.model_id).index(), hold.server}].push_back(hold);
  }
  std::uint64_t freed = 0;
  for (const auto& [servers, group] : groups) {
    ServerConnection& own = *connections()[servers.first];
    ServerConnection& holder = *connections()[servers.second];
    for (std::size_t first = 0; first < group.size(); first += kAtOnce) {
      const std::size_t count = std::min(group.size() - first, kAtOnce);
      SettleRequest request;
      request.place = servers.second;
      request.how = static_cast<std::uint32_t>(how);
      for (std::size_t i = 0; i < count; ++i) {
        request.model_ids.push_back(group[first + i].model_id);
        request.attempts.push_back(group[first + i].attempt);
      }
      const SettleReply reply = own.ask(request);
      if (reply.states.size() != count || reply.layers.size() != count) {
        throw StoreException(ErrorCode::kInvalidValue,
                             "malformed reply: one state is due for each");
      }
      for (std::size_t i = 0; i < count; ++i) {
        const bool is_stored = reply.states[i] == static_cast<std::uint8_t>(AttemptState::kStored);
        const bool is_over = reply.states[i] == static_cast<std::uint8_t>(AttemptState::kOver);
        // A model may be stored after all, by an attempt that needs nothing of that server.
        if (!is_over && !(is_stored && reply.layers[i] == 0)) continue;
        const ServerHold& hold = group[first + i];
        freed +=
            holder.ask(ReleaseRequest{hold.model_id, hold.attempt, own.store().text()}).bytes_freed;
      }
    }
  }
  return freed;
}

std::uint64_t RemoteStore::release_holds(std::uint64_t model_id,
                                         const std::vector<std::uint32_t>& servers) {
  std::atomic<std::uint64_t> freed = 0;
  const std::string own = home(model_id).store().text();
  parts_->fanout->run(servers.size(), [&](std::size_t i) {
    freed += connections()[servers[i]]->ask(ReleaseRequest{model_id, 0, own}).bytes_freed;
  });
  return freed;
}

std::vector<RemoteStore::ServerHold> RemoteStore::list_holds() {
  std::vector<ServerHold> holds;
  for (const auto& connection : connections()) {
    ListHoldsRequest request;
    for (bool is_last = false; !is_last;) {
      const ListHoldsReply reply = connection->ask(request);
      const std::size_t count = reply.model_ids.size();
      is_last = reply.is_last;
      if (reply.attempts.size() != count || reply.homes.size() != count ||
          reply.layers.size() != count || reply.sums.size() != count || (count == 0 && !is_last)) {
        throw StoreException(ErrorCode::kInvalidValue,
                             "malformed reply: a list of holds is shorter than its companions");
      }
      for (std::size_t i = 0; i < count; ++i) {
        holds.push_back({connection->index(),
                         reply.model_ids[i],
                         reply.attempts[i],
                         {reply.layers[i], reply.sums[i]},
                         parse_store(reply.homes[i])});
      }
      if (count > 0) request.after = reply.model_ids.back();
    }
  }
  return holds;
}

std::uint64_t RemoteStore::release_orphans() {
  require_writable();
  if (is_alone()) return 0;
  give_up_abandoned();
  std::vector<ServerHold> holds = list_holds();
  // Of another store than the one that is here now: nobody here can speak for it.
  std::erase_if(holds, [this](const ServerHold& hold) {
    return !(hold.home == home(hold.model_id).store());
  });
  return release_unless_needed(holds, SettleHow::kEnd);
}

}  // namespace parsl_tl
