// Which servers make up the store: what each of them remembers, and what was named.
#include <algorithm>

#include "errors.hpp"
#include "remote_store.hpp"
#include "requests/adopt.hpp"
#include "requests/join.hpp"

namespace parsl_tl {
namespace {

/// A server, and the store that it remembers to be part of.
struct Told {
  const ServerConnection* connection;
  HelloReply facts;
  StoreIds stores;
};

[[noreturn]] void refuse(const Told& told, const std::string& why) {
  throw StoreException(ErrorCode::kWrongStore, "store server " + told.connection->address() +
                                                   " (store " + told.facts.store + ") " + why);
}

/// Throws unless the servers are those, in the order, that this one's models were stored with.
void require_same(const Told& told, std::uint32_t index, const StoreIds& named) {
  if (told.stores == named) return;
  const Membership here{told.facts.server_index, told.facts.server_count};
  const Membership as_named{index, static_cast<std::uint32_t>(named.size())};
  const std::string order =
      "name all servers of the store, in the order in which they were named "
      "when it was made: the servers of stores " +
      text_of(told.stores);
  if (!(here == as_named)) {
    refuse(told, "is " + here.text() + ", and was named as " + as_named.text() + "; " + order);
  }
  if (std::is_permutation(named.begin(), named.end(), told.stores.begin(), told.stores.end())) {
    refuse(told, "knows the servers in another order; " + order);
  }
  std::uint32_t place = 0;
  while (named[place] == told.stores[place]) ++place;
  refuse(told, "holds models of a store whose server " + std::to_string(place + 1) + " was store " +
                   told.stores[place].text() + ", and the one that was named is store " +
                   named[place].text() +
                   "; give that server its folder back, or say that it is another one now, by "
                   "`parsl-tl store adopt`");
}

void require_distinct(const std::vector<std::unique_ptr<ServerConnection>>& connections,
                      const StoreIds& stores) {
  for (std::size_t i = 0; i < stores.size(); ++i) {
    const auto twice =
        std::find(stores.begin(), stores.begin() + static_cast<std::ptrdiff_t>(i), stores[i]);
    if (twice == stores.begin() + static_cast<std::ptrdiff_t>(i)) continue;
    throw StoreException(
        ErrorCode::kInvalidValue,
        "store servers " +
            connections[static_cast<std::size_t>(twice - stores.begin())]->address() + " and " +
            connections[i]->address() + " both serve store " + stores[i].text() +
            ", or a copy of it; name each server once");
  }
}

StoreIds stores_now(const std::vector<std::unique_ptr<ServerConnection>>& connections) {
  StoreIds stores;
  for (const auto& connection : connections)
    stores.push_back(parse_store(connection->facts().store));
  require_distinct(connections, stores);
  return stores;
}

}  // namespace

void RemoteStore::agree() {
  const auto stores = std::make_shared<const StoreIds>(stores_now(connections()));
  std::vector<std::uint32_t> strangers;
  for (std::uint32_t i = 0; i < stores->size(); ++i) {
    const HelloReply facts = connections()[i]->facts();
    const Told told{connections()[i].get(), facts, parse_stores(facts.stores)};
    // An empty server may become any; to a reader it may be any.
    if (!facts.is_empty) require_same(told, i, *stores);
    if (told.stores != *stores && !facts.stands_in) strangers.push_back(i);
  }
  if (!options_.read_only) {
    // After all were looked at: nothing is written for servers that do not go together.
    parts_->fanout->run(strangers.size(), [&](std::size_t i) {
      connections()[strangers[i]]->ask(JoinRequest{texts_of(*stores), strangers[i]});
    });
  }
  for (const auto& connection : connections()) connection->expect(stores);
}

std::vector<std::string> RemoteStore::store_ids() { return texts_of(stores_now(connections())); }

RemoteStore::Adopted RemoteStore::adopt(std::vector<std::shared_ptr<Channel>> channels,
                                        std::vector<std::string> addresses,
                                        const ConnectionOptions& options, bool only_look) {
  std::vector<std::unique_ptr<ServerConnection>> connections;
  const auto count = static_cast<std::uint32_t>(channels.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    connections.push_back(std::make_unique<ServerConnection>(
        std::vector<Way>{{channels[i], addresses[i]}}, ClientId{}, Membership{i, count}, options));
  }
  Adopted adopted;
  adopted.stores = stores_now(connections);
  adopted.before.resize(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    const HelloReply facts = connections[i]->facts();
    if (facts.is_empty) continue;
    const StoreIds known = parse_stores(facts.stores);
    for (std::uint32_t place = 0; place < count && place < known.size(); ++place) {
      StoreId& before = adopted.before[place];
      if (!before.is_set() || before == adopted.stores[place]) before = known[place];
    }
  }
  AdoptRequest request{texts_of(adopted.stores), 0, true};
  const auto ask_each = [&] {
    adopted.lost_models.clear();
    adopted.lost_holds.clear();
    for (request.index = 0; request.index < count; ++request.index) {
      const AdoptReply reply = connections[request.index]->ask(request);
      adopted.lost_models.insert(adopted.lost_models.end(), reply.lost_models.begin(),
                                 reply.lost_models.end());
      adopted.lost_holds.insert(adopted.lost_holds.end(), reply.lost_holds.begin(),
                                reply.lost_holds.end());
    }
  };
  ask_each();  // first whether each of them can
  if (only_look) return adopted;
  request.only_look = false;
  ask_each();
  // What models that were given up hold elsewhere follows.
  RemoteStore store(std::move(channels), std::move(addresses), options);
  store.release_orphans();
  return adopted;
}

}  // namespace parsl_tl
