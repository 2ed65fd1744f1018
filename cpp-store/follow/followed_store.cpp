#include "followed_store.hpp"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "access.hpp"
#include "errors.hpp"

namespace parsl_tl {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long to wait before the other store is asked for news, and after it could not be asked.
constexpr milliseconds kPause{100};
constexpr milliseconds kLongPause{300};
// For how long servers that are written to are followed until there is a pause.
constexpr std::chrono::minutes kPatience{10};

/// What the file `follows` of a folder tells.
std::string source_in(const std::string& folder) {
  std::ifstream file(Engine::follows_path(folder));
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

FollowedStore::FollowedStore(std::string name, Route route, FollowOptions options,
                             PulledSegments& pulled)
    : name_(std::move(name)),
      options_(std::move(options)),
      pulled_(pulled),
      route_(std::move(route)) {
  make_folder(options_.folder, false);
  open_known();
}

FollowedStore::~FollowedStore() { stop(); }

std::string FollowedStore::folder_of(const StoreId& server) const {
  return options_.folder + "/" + server.text();
}

/// What an earlier process followed under this name can be asked before the other store answers.
void FollowedStore::open_known() {
  for (const auto& entry : std::filesystem::directory_iterator(options_.folder)) {
    const std::string folder = entry.path().string();
    const auto store = store_in(folder);
    if (!store || folder_of(*store) != folder || source_in(folder) != name_) continue;
    EngineOptions reading;
    reading.read_only = true;
    const Engine first(folder, reading);
    auto copies = std::make_shared<Copies>();
    for (const StoreId& server : *first.stores()) {
      if (store_in(folder_of(server)) != server) return;
      copies->push_back(std::make_unique<ServerCopy>(folder_of(server), copies->size(), pulled_));
    }
    copies_ = std::move(copies);
    return;
  }
}

std::shared_ptr<FollowedStore::Copies> FollowedStore::copies() {
  const std::lock_guard guard(mutex_);
  return copies_;
}

std::shared_ptr<RemoteStore> FollowedStore::connect(bool read_only) {
  Route route;
  {
    const std::lock_guard guard(mutex_);
    route = route_;
  }
  ConnectionOptions options = options_.connection;
  if (route.channels.empty()) {
    throw StoreException(ErrorCode::kUnreachable,
                         "nothing tells yet where the servers of " + name_ + " are");
  }
  if (route.token) options.token = *route.token;
  options.read_only = read_only;
  options.maps_segments = false;
  return std::make_shared<RemoteStore>(std::move(route.channels), std::move(route.addresses),
                                       options);
}

std::shared_ptr<RemoteStore> FollowedStore::leader() {
  {
    const std::lock_guard guard(mutex_);
    if (leader_ != nullptr) return leader_;
  }
  auto made = connect(true);
  const std::lock_guard guard(mutex_);
  leader_ = made;
  return made;
}

std::shared_ptr<FollowedStore::Copies> FollowedStore::open_copies(RemoteStore& leader) {
  const StoreIds servers = parse_stores(leader.store_ids());
  if (const auto known = copies()) {
    StoreIds followed;
    for (const auto& copy : *known) followed.push_back(copy->engine().store());
    if (followed == servers) return known;
    throw StoreException(ErrorCode::kWrongStore,
                         "what answers at " + name_ + " is store " + text_of(servers) +
                             ", and store " + text_of(followed) +
                             " was followed there; give it its folder back, or stop this server "
                             "and remove " +
                             folder_of(followed.front()) + " to follow the other one");
  }
  if (std::find(servers.begin(), servers.end(), options_.home) != servers.end()) {
    throw StoreException(ErrorCode::kInvalidValue, "what answers at " + name_ +
                                                       " is the server's own store, or a copy of "
                                                       "it; a store cannot follow itself");
  }
  auto made = std::make_shared<Copies>();
  for (const StoreId& server : servers) {
    ServerCopy::make(folder_of(server), leader, made->size(), name_);
    if (::access(Engine::follows_path(folder_of(server)).c_str(), F_OK) != 0) {
      throw StoreException(ErrorCode::kInvalidValue,
                           folder_of(server) +
                               " was promoted, and is a store of its own; move it elsewhere "
                               "before its old leader is followed again");
    }
    // Its address may be another one than it was.
    if (source_in(folder_of(server)) != name_) {
      std::ofstream(Engine::follows_path(folder_of(server))) << name_;
    }
    made->push_back(std::make_unique<ServerCopy>(folder_of(server), made->size(), pulled_));
  }
  const std::lock_guard guard(mutex_);
  copies_ = made;
  return made;
}

/// True if there may be more.
bool FollowedStore::step() {
  const std::lock_guard one(step_mutex_);
  const auto source = leader();
  const auto known = open_copies(*source);
  bool more = false;
  for (const auto& copy : *known) more |= copy->advance(*source);
  note("");
  return more;
}

/// The same; also true if the log was written anew just now, between two questions.
bool FollowedStore::step_or_again() {
  try {
    return step();
  } catch (const StoreException& error) {
    if (error.code() != ErrorCode::kStale) throw;
    return true;
  }
}

void FollowedStore::pull_missing() {
  if (!options_.replicates) return;
  const auto source = leader();
  for (const auto& copy : *copies()) {
    for (const std::uint64_t owner : copy->missing()) {
      {
        const std::lock_guard guard(mutex_);
        if (stop_) return;
      }
      try {
        copy->pull(*source, owner);
      } catch (const StoreException& error) {
        // Retired meanwhile: the log tells of it soon.
        if (error.code() != ErrorCode::kNotFound) throw;
      }
    }
  }
}

void FollowedStore::note(const std::string& problem) {
  const std::lock_guard guard(mutex_);
  problem_ = problem;
  if (problem.empty()) heard_ = steady_clock::now();
}

std::string FollowedStore::problem() {
  const std::lock_guard guard(mutex_);
  return problem_;
}

void FollowedStore::start() {
  thread_ = std::thread([this] { run(); });
}

void FollowedStore::run() {
  for (;;) {
    milliseconds pause = kPause;
    try {
      if (step_or_again()) {
        pause = milliseconds(0);
      } else {
        pull_missing();
      }
    } catch (const std::exception& error) {
      note(error.what());
      pause = kLongPause;
      const std::lock_guard guard(mutex_);
      leader_ = nullptr;  // who answers next time may be another one
      writer_ = nullptr;
    }
    std::unique_lock lock(mutex_);
    if (wake_.wait_for(lock, pause, [this] { return stop_; })) return;
  }
}

void FollowedStore::stop() {
  {
    const std::lock_guard guard(mutex_);
    stop_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void FollowedStore::reroute(Route route) {
  const std::lock_guard guard(mutex_);
  route_ = std::move(route);
  leader_ = nullptr;
  writer_ = nullptr;
}

void FollowedStore::follow_to_end() {
  const auto deadline = steady_clock::now() + kPatience;
  do {
    // Of one server, any place between two records is a moment. Of several, two rounds without
    // news, one after the other: between them, all copies were whole.
    for (int quiet = 0; quiet < 2; refuse_after(deadline)) {
      try {
        quiet = step() ? 0 : quiet + 1;
      } catch (const StoreException& error) {
        if (error.code() != ErrorCode::kStale) throw;
        quiet = 0;  // written anew in between: nothing came over
        continue;
      }
      const auto known = copies();
      if (known->size() == 1 && known->front()->bytes_behind() == 0) break;
    }
    pull_missing();
    refuse_after(deadline);
    // What was retired before it could be pulled is gone from the log's end, too.
  } while (options_.replicates && !is_whole());
}

void FollowedStore::refuse_after(steady_clock::time_point deadline) {
  if (steady_clock::now() < deadline) return;
  throw StoreException(ErrorCode::kBusy, "the store at " + name_ +
                                             " is written to without a pause; copy it when it is "
                                             "less busy");
}

bool FollowedStore::is_whole() {
  const auto known = copies();
  return std::all_of(known->begin(), known->end(),
                     [](const auto& copy) { return copy->missing().empty(); });
}

/// As far as that is possible now.
void FollowedStore::catch_up() {
  try {
    while (step_or_again()) continue;
  } catch (const StoreException& error) {
    note(error.what());
  }
}

std::vector<Engine*> FollowedStore::engines() {
  std::vector<Engine*> engines;
  if (const auto known = copies()) {
    for (const auto& copy : *known) engines.push_back(&copy->engine());
  }
  return engines;
}

std::vector<std::string> FollowedStore::folders() {
  std::vector<std::string> folders;
  for (const Engine* engine : engines()) folders.push_back(engine->folder());
  return folders;
}

FollowedStore::State FollowedStore::state() {
  State state;
  state.folders = folders();
  state.problem = problem();
  {
    const std::lock_guard guard(mutex_);
    if (heard_) {
      state.seconds_silent = std::chrono::duration<double>(steady_clock::now() - *heard_).count();
    }
  }
  const auto known = copies();
  if (known == nullptr) return state;
  StoreIds servers;
  for (const auto& copy : *known) {
    servers.push_back(copy->engine().store());
    state.models += copy->engine().num_models();
    state.models_behind += copy->models_behind();
    state.bytes_behind += copy->bytes_behind();
    state.bytes_here += pulled_.bytes(copy->engine());
    state.bytes_pulled += copy->bytes_pulled();
    state.segments_pulled += copy->segments_pulled();
  }
  state.store = text_of(servers);
  return state;
}

}  // namespace parsl_tl
