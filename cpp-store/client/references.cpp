// Whether what models borrow of other servers is held there, and what is held has its model.
#include <chrono>
#include <map>
#include <thread>

#include "errors.hpp"
#include "remote_store.hpp"
#include "requests/list_borrowed.hpp"
#include "server_hold.hpp"

namespace parsl_tl {
namespace {

// Others store and retire meanwhile: what looks wrong is looked at again before it is reported.
constexpr int kLooks = 4;
constexpr std::chrono::milliseconds kPause{150};

using Place = std::pair<std::uint64_t, std::uint32_t>;  // a model, and the server of some owners

/// False after the last one.
bool read_page(ServerConnection& connection, ListBorrowedRequest& request,
               std::map<Place, LayerSum>& borrowed) {
  const ListBorrowedReply reply = connection.ask(request);
  const std::size_t count = reply.model_ids.size();
  if (reply.places.size() != count || reply.layers.size() != count || reply.sums.size() != count ||
      (count == 0 && !reply.is_last)) {
    throw StoreException(
        ErrorCode::kInvalidValue,
        "malformed reply: a list of borrowed layers is shorter than its companions");
  }
  for (std::size_t i = 0; i < count; ++i) {
    borrowed[{reply.model_ids[i], reply.places[i]}] = {reply.layers[i], reply.sums[i]};
  }
  if (count > 0) request.after = reply.model_ids.back();
  return !reply.is_last;
}

std::map<Place, LayerSum> ask_borrowed(ServerConnection& connection) {
  std::map<Place, LayerSum> borrowed;
  ListBorrowedRequest request;
  while (read_page(connection, request, borrowed)) {
  }
  return borrowed;
}

}  // namespace

std::vector<std::string> RemoteStore::wrong_references() {
  std::map<Place, std::string> wrong;
  for (int look = 0; look < kLooks; ++look) {
    if (look > 0) std::this_thread::sleep_for(kPause);
    std::map<Place, std::string> now;
    std::map<Place, LayerSum> borrowed;
    for (const auto& connection : connections()) borrowed.merge(ask_borrowed(*connection));
    for (const ServerHold& hold : list_holds()) {
      ServerConnection& own = home(hold.model_id);
      const std::string who = connections()[hold.server]->address() + ": what is held for model " +
                              hex_id(hold.model_id) + " of " + own.address();
      std::string& problem = now[{hold.model_id, hold.server}];
      const auto found = borrowed.find({hold.model_id, hold.server});
      if (!(hold.home == own.store())) {
        problem = who + " is held for store " + hold.home.text() + ", which is store " +
                  own.store().text() + " now; say so by `parsl-tl store adopt`";
      } else if (found == borrowed.end()) {
        const SettleReply state =
            own.ask(SettleRequest{{hold.model_id},
                                  {hold.attempt},
                                  hold.server,
                                  static_cast<std::uint32_t>(SettleHow::kLook)});
        const bool is_under_way =
            state.states.size() == 1 &&
            state.states[0] == static_cast<std::uint8_t>(AttemptState::kUnderWay);
        if (!is_under_way) {
          problem = who + " has no model that needs it; `parsl-tl store compact` lets go of it";
        }
      } else if (!(found->second == hold.layers)) {
        problem = who + " are other layers than the model has from there";
      }
      if (found != borrowed.end()) borrowed.erase(found);
    }
    for (const auto& [place, sum] : borrowed) {
      now[place] = home(place.first).address() + ": model " + hex_id(place.first) + " has " +
                   std::to_string(sum.count) + " layers of " +
                   (place.second < connections().size() ? connections()[place.second]->address()
                                                        : "a server that is not there") +
                   ", where nothing is held for it: they may be freed at any time";
    }
    std::erase_if(now, [&](const auto& entry) { return entry.second.empty(); });
    // Only what stays wrong is.
    if (look > 0)
      std::erase_if(now, [&](const auto& entry) { return !wrong.contains(entry.first); });
    wrong = std::move(now);
    if (wrong.empty()) break;
  }
  std::vector<std::string> problems;
  for (auto& [place, text] : wrong) problems.push_back(std::move(text));
  return problems;
}

}  // namespace parsl_tl
