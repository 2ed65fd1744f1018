// Whole requests, to a server over a small store: every one of them gets a reply, no malformed one
// changes anything, and whatever is done leaves a store without contradictions.
#include <cstdio>
#include <cstdlib>
#include <map>

#include "loopback.hpp"
#include "request_input.hpp"
#include "server.hpp"
#include "small_store.hpp"
#include "store_ids.hpp"

namespace parsl_tl::fuzz {
namespace {

constexpr std::size_t kMostRoom = 1 << 20;

/// What the server is when the request comes.
enum State : std::uint8_t { kEmpty, kAlone, kOneOfThree, kLimited, kStates };

Token right_token() {
  Token token;
  token.fill(7);
  return token;
}

ServerOptions options_of(State state) {
  ServerOptions options;
  options.token = right_token();
  if (state != kLimited) return options;
  options.most_layers = 3;
  options.keeps_in_memory = true;
  options.memory_limit = 4096;
  options.client_limits.models_pinned = 1;
  options.client_limits.bytes_in_flight = 2000;
  return options;
}

/// A store in each state, made anew only after something was done to it.
class World {
 public:
  std::shared_ptr<Engine> engine(State state) {
    auto& engine = engines_[state];
    if (engine != nullptr) return engine;
    if (state == kEmpty) {
      empty_ = std::make_unique<testing::Scratch>();
      return engine = std::make_shared<Engine>(*empty_ / "store", EngineOptions{});
    }
    return engine = (state == kOneOfThree ? part_ : state == kAlone ? alone_ : limited_).fresh();
  }
  void renew(State state) { engines_[state].reset(); }

 private:
  SmallStore alone_{false}, part_{true}, limited_{false};
  std::unique_ptr<testing::Scratch> empty_;
  std::map<State, std::shared_ptr<Engine>> engines_;
};

class Client {
 public:
  explicit Client(Server& server) : server_(server) { header_.token = right_token(); }

  RequestHeader& header() { return header_; }

  std::string send(RequestKind kind, Input message, Exchange& exchange) {
    header_.kind = kind;
    std::string request = start_request(header_);
    request.append(reinterpret_cast<const char*>(message.data()), message.size());
    return server_.handle({reinterpret_cast<const std::uint8_t*>(request.data()), request.size()},
                          exchange);
  }
  template <typename Request>
  void ask(const Request& request) {
    testing::MemoryExchange exchange({}, 0, 1);
    const std::string message = testing::encoded(request);
    send(Request::kKind, {reinterpret_cast<const std::uint8_t*>(message.data()), message.size()},
         exchange);
  }

 private:
  Server& server_;
  RequestHeader header_;
};

/// What a client did before: a model is open, a table half read, a request answered.
void prepare(Client& client) {
  client.ask(OpenModelRequest{4, {}, 1, false});
  client.ask(OpenModelRequest{10, {}, 2, false});
  client.header().number = 17;
  client.ask(ReleaseRequest{77, 0, testing::made_up_store(2).text()});
  client.header().number = 0;
}

/// The bytes that the layers take which are asked for, so that they are sent.
std::uint64_t room_for(Engine& engine, Input message) {
  std::uint64_t bytes = 0;
  answer([&] {
    const auto request = decode_message<ReadLayersRequest>(message);
    const auto pinned = engine.pin(request.model_id);
    for (const std::uint64_t key : request.layer_keys) {
      for (const auto& layer : pinned->layers) {
        if (layer.key != key) continue;
        for (const TensorInfo& tensor : layer.tensor_infos()) bytes += tensor.size;
      }
    }
  });
  return std::min<std::uint64_t>(bytes, kMostRoom);
}

bool is_error(const std::string& reply) {
  try {
    parse_reply(reply);
    return false;
  } catch (const StoreException&) {
    return true;
  }
}

bool changes(RequestKind kind) {
  switch (kind) {
    case RequestKind::kJoin:
    case RequestKind::kAdopt:
    case RequestKind::kPut:
    case RequestKind::kPutArchitectures:
    case RequestKind::kRetire:
    case RequestKind::kHold:
    case RequestKind::kRelease:
    case RequestKind::kCompact:
    case RequestKind::kFold:
      return true;
    default:
      return false;
  }
}

/// That a reply without an error is one of its kind.
void check_reply(std::size_t place, const std::string& reply) {
  visit_request(place, [&]<typename Request>() {
    decode_message<typename Request::Reply>(parse_reply(reply));
  });
}

void check_store(Engine& engine) {
  const VerifyReport report = engine.verify();
  for (const std::string& problem : report.problems) std::fprintf(stderr, "%s\n", problem.c_str());
  if (!report.problems.empty()) std::abort();
}

void touch(const ConstPieces& pieces) {
  volatile std::uint8_t sum = 0;
  for (const auto& piece : pieces) {
    for (const std::uint8_t byte : piece) sum = static_cast<std::uint8_t>(sum + byte);
  }
}

void run(Input bytes) {
  static World* const world = new World();
  const RequestInput input = RequestInput::from(bytes);
  const auto state = static_cast<State>(input.state % kStates);
  const auto place = input.kind % all_requests().size();
  const RequestKind kind = all_requests()[place].kind;
  const auto engine = world->engine(state);
  const Membership before = engine->membership();
  Server server(engine, options_of(state));
  Client client(server);
  prepare(client);

  std::uint64_t room =
      kind == RequestKind::kReadLayers ? room_for(*engine, input.message) : input.upload.size();
  if ((input.flags & kWrongRoom) != 0) room = bytes.size() * 1000;
  client.header().bulk_bytes = room;
  if ((input.flags & kWrongToken) != 0) client.header().token[3] ^= 1;
  if ((input.flags & kNumbered) != 0)
    client.header().number = input.upload.size() % 2 == 0 ? 17 : 18;
  if ((input.flags & kClaims) != 0) {
    client.header().server = Membership{1, 3};
    client.header().stores = digest_of(*engine->stores());
    client.header().store = engine->store();
  }
  testing::MemoryExchange exchange({input.upload}, room, bytes.size());
  const bool is_whole = (input.flags & kWholeRequest) != 0;
  const std::string reply = is_whole ? server.handle(input.message, exchange)
                                     : client.send(kind, input.message, exchange);

  if (reply.size() < kReplyHeaderBytes) std::abort();
  if (exchange.has_sent()) touch(exchange.sent());
  if (server.clients().bytes_in_flight() != 0) std::abort();
  if ((input.flags & kWrongToken) != 0 && !is_whole && (!is_error(reply) || exchange.taken() > 0)) {
    std::abort();
  }
  // The number of an earlier request gets the reply to that one.
  const bool is_earlier = client.header().number == 17;
  if (!is_whole && !is_earlier && !is_error(reply)) check_reply(place, reply);
  const bool is_other = engine->membership() != before;
  if (!is_other && (is_error(reply) || !(is_whole || changes(kind)))) return;
  check_store(*engine);
  world->renew(state);
}

/// The upload that the tensors of a put announce.
Bytes upload_for(Input message) {
  std::uint64_t size = 0;
  answer([&] {
    for (const std::uint64_t bytes : decode_message<PutMessage>(message).tensor_sizes)
      size += bytes;
  });
  return Bytes(std::min<std::uint64_t>(size, 0xFFFF), 'u');
}

}  // namespace
}  // namespace parsl_tl::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  parsl_tl::fuzz::run({data, size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  using namespace parsl_tl;
  using namespace parsl_tl::fuzz;
  testing::Random random(seed);
  RequestInput input = RequestInput::from({data, size});
  if (size < RequestInput::kHead || (input.flags & kWholeRequest) != 0 || random.chance(0.4)) {
    return LLVMFuzzerMutate(data, size, most);
  }
  if (random.chance(0.1)) input.state = static_cast<std::uint8_t>(random.below(kStates));
  if (random.chance(0.1)) input.flags = static_cast<std::uint8_t>(random() & random() & random());
  if (random.chance(0.1)) input.kind = static_cast<std::uint8_t>(random());
  std::string message;
  const std::size_t place = input.kind % all_requests().size();
  visit_request(place, [&]<typename Request>() {
    message = changed<Request>(input.message, known_values(), random);
  });
  input.message = {reinterpret_cast<const std::uint8_t*>(message.data()), message.size()};
  Bytes upload;
  if (all_requests()[place].kind == RequestKind::kPut && random.chance(0.8)) {
    upload = upload_for(input.message);
    input.upload = upload;
  }
  const Bytes made = input.bytes();
  if (made.size() > most) return LLVMFuzzerMutate(data, size, most);
  std::copy(made.begin(), made.end(), data);
  return made.size();
}
