#include "server_connection.hpp"

#include <algorithm>
#include <random>
#include <thread>

#include "requests/goodbye.hpp"
#include "same_machine.hpp"

namespace parsl_tl {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLongestPause{2'000};
constexpr milliseconds kGoodbyeTimeout{1'000};
// For whoever is asked who it is, while others would answer, too.
constexpr milliseconds kGreetingTimeout{2'000};
// So slow a network still gets its bulk data through.
constexpr std::uint64_t kLeastBytesPerMillisecond = 10'000;
// Verifying or compacting a large store.
constexpr milliseconds kLongTimeout{4 * 3'600'000};

bool may_pass(ErrorCode code) {
  return code == ErrorCode::kUnreachable || code == ErrorCode::kBusy;
}

std::uint64_t bytes_of(const Bulk& bulk) {
  return bulk.download != nullptr ? bulk.download->size() : size_of(bulk.upload);
}

/// Clients that were cut off together must not come back together.
milliseconds with_jitter(milliseconds pause) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return pause / 2 +
         milliseconds(std::uniform_int_distribution<std::int64_t>(0, pause.count() / 2)(random));
}

}  // namespace

bool ServerConnection::is_long(RequestKind kind) {
  return kind == RequestKind::kVerify || kind == RequestKind::kCompact ||
         kind == RequestKind::kFold;
}

RequestHeader ServerConnection::header(RequestKind kind, bool changes, const Bulk& bulk) {
  RequestHeader header;
  header.kind = kind;
  header.token = options_.token;
  header.client = client_;
  header.bulk_bytes = bytes_of(bulk);
  header.trace = current_trace();
  if (changes) header.number = ++numbers_;
  const auto stores = expected();
  if (stores == nullptr || !makes_claims(kind)) return header;
  header.store = (*stores)[membership_.index];
  if (!writes()) return header;
  header.server = membership_;
  header.stores = digest_of(*stores);
  return header;
}

/// These ask who the server is, or say who it is to be.
bool ServerConnection::makes_claims(RequestKind kind) {
  return kind != RequestKind::kHello && kind != RequestKind::kJoin && kind != RequestKind::kGoodbye;
}

std::shared_ptr<const StoreIds> ServerConnection::expected() const {
  const std::lock_guard guard(mutex_);
  return expected_;
}

void ServerConnection::expect(std::shared_ptr<const StoreIds> stores) {
  const std::lock_guard guard(mutex_);
  expected_ = std::move(stores);
}

StoreId ServerConnection::store() const {
  const auto stores = expected();
  return stores == nullptr ? StoreId() : (*stores)[membership_.index];
}

void ServerConnection::refuse_store(const std::string& found, const std::string& folder) const {
  throw StoreException(ErrorCode::kWrongStore,
                       "store server " + address() + " (folder " + folder + ") is " + found +
                           " now, and was store " + store().text() +
                           "; give it its folder back, or say that it is another one now, by "
                           "`parsl-tl store adopt`, and open the store again");
}

void ServerConnection::require_folder() {
  const std::string folder = facts().folder;
  const auto now = store_in(folder);
  if (now == store()) return;
  refuse_store(now ? "store " + now->text() : "without a store", folder);
}

void ServerConnection::check_facts(const HelloReply& facts) const {
  if (facts.hash_scheme != kHashScheme) {
    throw StoreException(ErrorCode::kFormat,
                         "store server " + address() + " names layers by scheme " +
                             std::to_string(facts.hash_scheme) + ", this client by scheme " +
                             std::to_string(kHashScheme) +
                             "; install the same parsl_tl on both sides");
  }
  const auto stores = expected();
  if (stores == nullptr) return;
  if (parse_store(facts.store) == (*stores)[membership_.index]) return;
  refuse_store("store " + facts.store, facts.folder);
}

std::string ServerConnection::call_once(std::size_t way, const Question& question,
                                        milliseconds timeout) {
  Call call;
  call.request = {reinterpret_cast<const std::uint8_t*>(question.message.data()),
                  question.message.size()};
  call.upload = question.bulk.upload;
  call.download = question.bulk.download;
  call.timeout = question.is_long
                     ? kLongTimeout
                     : timeout + milliseconds(bytes_of(question.bulk) / kLeastBytesPerMillisecond);
  std::string reply = ways_[way].channel->call(call);
  note_answer(reply);
  // What the server refused for the moment is worth another try, as an answer that did not come.
  try {
    parse_reply(reply);
  } catch (const StoreException& error) {
    if (may_pass(error.code())) throw;
  }
  return reply;
}

void ServerConnection::refuse_while_resting(const Question& question) {
  const std::lock_guard guard(mutex_);
  const Rest& rest = rest_of(question);
  if (steady_clock::now() >= rest.until) return;
  throw StoreException(ErrorCode::kUnreachable, rest.failure);
}

std::string ServerConnection::call(Question& question) {
  if (question.message.size() > kMostMessageBytes) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "a request of " + std::to_string(question.message.size()) +
                             " bytes; at most " + std::to_string(kMostMessageBytes) +
                             " are possible, weights apart");
  }
  refuse_while_resting(question);
  const auto deadline = steady_clock::now() + options_.retry_for;
  milliseconds pause = options_.pause;
  for (;;) {
    try {
      return ask_ways(question);
    } catch (const StoreException& error) {
      if (!may_pass(error.code())) throw;
      if (steady_clock::now() + pause >= deadline) {
        std::string text = error.what();
        if (text.find(address()) == std::string::npos) text = address() + ": " + text;
        text = "store server " + text;
        const std::lock_guard guard(mutex_);
        if (error.code() == ErrorCode::kUnreachable) {
          rest_of(question) = {steady_clock::now() + options_.rest, text};
        }
        throw StoreException(error.code(), text);
      }
    }
    std::this_thread::sleep_for(with_jitter(pause));
    pause = std::min(2 * pause, kLongestPause);
  }
}

/// Asks whoever answers, of those that may. Throws what was wrong with the first of them.
std::string ServerConnection::ask_ways(Question& question) {
  const std::size_t first = first_way(question);
  std::string failures;
  for (std::size_t i = 0; i < ways_.size(); ++i) {
    const std::size_t way = (first + i) % ways_.size();
    try {
      return ask_at(way, question);
    } catch (const StoreException& error) {
      if (error.code() != ErrorCode::kUnreachable) throw;
      int asked = static_cast<int>(way);
      greeted_.compare_exchange_strong(asked, kNobody);  // who answers next may be another one
      if (ways_.size() == 1) throw;
      failures += (failures.empty() ? "" : "; ") + ways_[way].address + ": " + error.what();
    }
  }
  throw StoreException(ErrorCode::kUnreachable, failures);
}

std::size_t ServerConnection::first_way(const Question& question) {
  const std::lock_guard guard(mutex_);
  if (!facts_.stands_in) return way_;
  const auto now = steady_clock::now();
  if (question.may_stand_in) {
    if (now < looks_back_) return way_;
    looks_back_ = now + options_.rest;  // one request looks, others go on meanwhile
  }
  return 0;
}

std::string ServerConnection::ask_at(std::size_t way, Question& question) {
  if (greeted_ != static_cast<int>(way)) greet_at(way);
  if (question.message.empty()) return {};
  if (!question.may_stand_in && !is_server(way)) {
    throw StoreException(ErrorCode::kUnreachable,
                         "it follows the store, and stores nothing in its name");
  }
  if (question.sent++ == 0) question.instance = instance_;
  return call_once(way, question, options_.timeout);
}

void ServerConnection::greet_at(std::size_t way) {
  HelloRequest hello;
  if (way > 0) {
    const StoreId meant = store();
    hello.at_replica = true;
    if (meant.is_set()) hello.store = meant.text();
    hello.place = membership_.index;
    hello.count = membership_.count;
  }
  std::string message = start_request(header(RequestKind::kHello, false, {}));
  encode_message(hello, message);
  const milliseconds timeout =
      ways_.size() == 1 ? options_.timeout : std::min(options_.timeout, kGreetingTimeout);
  HelloReply facts;
  try {
    facts = decode_message<HelloReply>(parse_reply(call_once(way, {message, {}}, timeout)));
    check_facts(facts);
  } catch (const StoreException& error) {
    // A replica of another store is of no use, and no reason to give up the server.
    if (way == 0 || error.code() != ErrorCode::kWrongStore) throw;
    throw StoreException(ErrorCode::kUnreachable, error.what());
  }
  const FileIdentity here = identity_of(facts.folder);
  const std::lock_guard guard(mutex_);
  mapped_ = options_.maps_segments && facts.boot_id == boot_id() && !facts.boot_id.empty() &&
            here == FileIdentity{facts.folder_device, facts.folder_inode};
  keeps_for_ = milliseconds(std::min<std::uint64_t>(facts.keeps_ms, kLongTimeout.count()));
  if (facts.stands_in && !facts_.stands_in) looks_back_ = steady_clock::now() + options_.rest;
  facts_ = std::move(facts);
  way_ = way;
  greeted_ = static_cast<int>(way);
}

/// Whether the server itself was met there last; not if another thread went elsewhere meanwhile.
bool ServerConnection::is_server(std::size_t way) const {
  const std::lock_guard guard(mutex_);
  return way_ == way && !facts_.stands_in;
}

void ServerConnection::greet() {
  if (greeted_ != kNobody) return;
  const Bulk nothing;
  Question question{{}, nothing, false, true};
  call(question);
}

void ServerConnection::leave() noexcept {
  const int way = greeted_;
  if (way == kNobody) return;
  try {
    std::string message = start_request(header(RequestKind::kGoodbye, false, {}));
    encode_message(GoodbyeRequest{}, message);
    Call call;
    call.request = {reinterpret_cast<const std::uint8_t*>(message.data()), message.size()};
    call.timeout = std::min(options_.timeout, kGoodbyeTimeout);
    ways_[static_cast<std::size_t>(way)].channel->call(call);
  } catch (const std::exception&) {
    // The server forgets a silent client by itself.
  }
}

void ServerConnection::note_answer(std::string_view reply) {
  const auto now = steady_clock::now();
  const auto before = heard_.exchange(now);
  // Half of the time, since the server counts from when it heard the last request.
  if (now - before > keeps_for_.load() / 2) ++epoch_;
  const std::uint64_t instance = instance_of(reply);
  if (instance_.exchange(instance) == instance) return;
  ++epoch_;
  greeted_ = kNobody;
}

HelloReply ServerConnection::facts() {
  greet();
  const std::lock_guard guard(mutex_);
  return facts_;
}

bool ServerConnection::is_mapped() {
  greet();
  const std::lock_guard guard(mutex_);
  return mapped_;
}

}  // namespace parsl_tl
