#include "server.hpp"

#include <algorithm>

#include "errors.hpp"
#include "thallium_transport.hpp"

namespace parsl_tl {
namespace mochi {

using namespace std::chrono_literals;

namespace {

// A client that states more is not believed.
constexpr auto kMostTime = 24h;
// In which a client fetches a reply that did not fit into its answer.
constexpr auto kMostTimeOfReply = 30s;
// After the deadline of `stop`, handlers that still move bulk data are cut off, and the engine
// ends.
constexpr auto kDeadlineAfterCut = 1000ms;
constexpr auto kEngineDeadline = 5s;

/// Margo keeps one with the RPC.
using Registered = std::weak_ptr<Server>;

void receive(hg_handle_t raw) {
  Handle handle(raw);
  const hg_info* info = margo_get_info(raw);
  const margo_instance_id margo = margo_hg_handle_get_instance(raw);
  if (info == nullptr || margo == MARGO_INSTANCE_NULL) return;
  const auto* registered = static_cast<Registered*>(margo_registered_data(margo, info->id));
  if (registered == nullptr) return;
  if (const auto server = registered->lock()) server->receive(std::move(handle));
}

DEFINE_MARGO_RPC_HANDLER(receive)

}  // namespace

/// A request, from its arrival to its answer.
struct Server::Request {
  std::shared_ptr<Instance> use;
  Handle handle;
  std::shared_ptr<Peer> client;
  std::vector<std::uint8_t> message;
  std::optional<Arguments> arguments;  // points into the message
  std::shared_ptr<RegionInUse> memory;
  TimePoint deadline;

  bool has_flag(std::uint16_t flag) const { return (arguments->header.flags & flag) != 0; }
  RegionsInUse::Call call() const { return {arguments->header.client, arguments->header.call}; }
};

Server::Server(const ListenOptions& options, std::shared_ptr<Handler> handler)
    : options_(options),
      handler_(std::move(handler)),
      workers_(std::make_shared<Workers>(std::max(options.threads, 1U))) {
  const std::string protocol = protocol_of(options_.address);
  instance_ = Instance::start(options_.address, Role::kServer);
  // Mercury names what it has chosen, such as ofi+tcp;ofi_rxm://; clients need not know.
  const std::string chosen = instance_->engine().self();
  address_ = protocol + chosen.substr(chosen.find("://"));
}

std::shared_ptr<Instance> Server::instance() {
  const std::lock_guard guard(instance_mutex_);
  return instance_;
}

void Server::open() {
  const auto instance = this->instance();
  const std::lock_guard guard(instance->registration());
  const hg_id_t id =
      margo_provider_register_name(instance->margo(), kRpcName, process_message, process_message,
                                   _handler_for_receive, options_.provider_id, ABT_POOL_NULL);
  margo_register_data(instance->margo(), id, new Registered(weak_from_this()),
                      [](void* registered) { delete static_cast<Registered*>(registered); });
}

TimePoint Server::deadline_of(const Arguments& arguments) {
  const TimePoint stated{std::chrono::nanoseconds(arguments.header.deadline)};
  return std::min(stated, Clock::now() + kMostTime);
}

void Server::receive(Handle handle) {
  auto request = std::make_shared<Request>(Request{.use = nullptr,
                                                   .handle = std::move(handle),
                                                   .client = nullptr,
                                                   .message = {},
                                                   .arguments = {},
                                                   .memory = nullptr,
                                                   .deadline = {}});
  const auto read = [](void* reader, Bytes message) {
    static_cast<Request*>(reader)->message.assign(message.begin(), message.end());
  };
  Incoming incoming{read, request.get()};
  const hg_handle_t raw = request->handle.get();
  hg_addr_t from = HG_ADDR_NULL;
  const auto instance = this->instance();
  if (!instance) return;
  try {
    request->use = instance->use();
  } catch (const StoreException&) {
    return;  // the process is ending
  }
  if (margo_get_input(raw, &incoming) == HG_SUCCESS) {
    margo_free_input(raw, &incoming);
    request->arguments = decode_arguments(request->message);
  }
  if (!request->arguments ||
      margo_addr_dup(instance->margo(), margo_get_info(raw)->addr, &from) != HG_SUCCESS) {
    return responder_->send_to_stranger(std::move(request->handle), request->use,
                                        {.outcome = Outcome::kRefused});
  }
  request->client = std::make_shared<Peer>(instance, from);
  request->deadline = deadline_of(*request->arguments);
  if (!handler_->admits(beginning_of(request->arguments->request))) return refuse(*request);
  if (request->has_flag(kCloseRegion)) return close_region(*request);
  const bool has_bulk = request->arguments->pieces() > 0;  // which this thread moves
  if (!has_bulk && !is_stopping_ && handler_->is_quick(beginning_of(request->arguments->request))) {
    return work(*request);
  }
  if (has_bulk) request->memory = regions_.open(request->call());
  const bool is_taken = !is_stopping_ && workers_->submit([self = shared_from_this(), request] {
    self->work(*request);
  });
  if (is_taken) return;
  regions_.remove(request->call());
  responder_->send(std::move(request->handle), request->use, {.outcome = Outcome::kStopping});
}

/// The handler tells what is wrong, of the beginning alone: nothing is fetched, and nothing waits.
void Server::refuse(Request& request) {
  const Arguments nothing;
  ThalliumExchange exchange({request.client, workers_, nullptr, request.deadline}, nothing);
  const std::string reply = handler_->handle(beginning_of(request.arguments->request), exchange);
  responder_->send_to_stranger(std::move(request.handle), request.use,
                               {.outcome = Outcome::kAnswered}, bytes_of(reply));
}

void Server::close_region(Request& request) {
  const auto handle = std::make_shared<Handle>(std::move(request.handle));
  regions_.close(request.call(), [responder = responder_, use = request.use, handle] {
    responder->send(std::move(*handle), use, {.outcome = Outcome::kAnswered});
  });
}

void Server::work(Request& request) {
  if (Clock::now() >= request.deadline) {
    if (request.memory) regions_.remove(request.call());
    return responder_->send(std::move(request.handle), request.use, {.outcome = Outcome::kLate});
  }
  Answer::Header header{.outcome = Outcome::kAnswered};
  std::string reply;
  const Bounds bounds{request.client, workers_, request.memory, request.deadline};
  ThalliumExchange exchange(bounds, *request.arguments);
  try {
    reply = handle(request, bounds, exchange);
  } catch (const std::exception&) {
    header.outcome = Outcome::kGone;
  }
  exchange.finish();
  if (request.memory) regions_.remove(request.call());
  header.sent = exchange.sent();
  answer(request, header, exchange.download(), std::move(reply));
}

std::string Server::handle(Request& request, const Bounds& bounds, ThalliumExchange& exchange) {
  Arguments& arguments = *request.arguments;
  if (!arguments.list_memory.empty() &&
      !decode_pieces(pull(bounds, arguments.list_memory), arguments)) {
    throw StoreException(ErrorCode::kInvalidValue, "no list of pieces of memory");
  }
  if (request.has_flag(kFetchReply)) {
    const auto held = held_replies_.take(request.call());
    if (!held) throw StoreException(ErrorCode::kNotFound, "no reply is kept for this call");
    exchange.send({bytes_of(*held)}, held);
    return "";
  }
  if (arguments.request_memory.empty()) return handler_->handle(arguments.request, exchange);
  return handler_->handle(pull(bounds, arguments.request_memory), exchange);
}

void Server::answer(Request& request, Answer::Header header, Bytes download, std::string reply) {
  const std::size_t size =
      sizeof(std::uint64_t) + sizeof(Answer::Header) + download.size() + reply.size();
  if (size > request.use->most_in_message()) {
    header.outcome = Outcome::kHeld;
    header.reply_size = reply.size();
    held_replies_.hold(request.call(), std::move(reply),
                       std::min(request.deadline, Clock::now() + kMostTimeOfReply));
    reply.clear();
  }
  responder_->send(std::move(request.handle), request.use, header, download, bytes_of(reply));
}

void Server::stop(std::chrono::milliseconds deadline) {
  if (process_ != ::getpid()) return;  // a child has none of the threads
  const std::lock_guard guard(stop_mutex_);
  auto instance = this->instance();
  if (!instance) return;
  const TimePoint end_of_work = Clock::now() + deadline;
  is_stopping_ = true;
  workers_->end();
  if (!workers_->have_ended_by(end_of_work)) {
    instance->begin_to_end();
    workers_->have_ended_by(Clock::now() + kDeadlineAfterCut);
  }
  responder_->finish(std::max(end_of_work, Clock::now() + 10ms));
  const auto end = instance->end_of_engine();
  {
    const std::lock_guard instance_guard(instance_mutex_);
    instance_.reset();
  }
  instance.reset();
  // Unless a handler does not come to its end: then the engine ends with it.
  end->wait_until(Clock::now() + kEngineDeadline);
}

namespace {

class ThalliumListener : public Listener {
 public:
  explicit ThalliumListener(std::shared_ptr<Server> server) : server_(std::move(server)) {}
  ~ThalliumListener() override { server_->stop(0ms); }

  std::string address() const override { return server_->address(); }
  void stop(std::chrono::milliseconds deadline) override { server_->stop(deadline); }

 private:
  const std::shared_ptr<Server> server_;
};

}  // namespace
}  // namespace mochi

std::shared_ptr<Listener> listen_thallium(const ListenOptions& options,
                                          std::shared_ptr<Handler> handler) {
  const auto server = std::make_shared<mochi::Server>(options, std::move(handler));
  server->open();
  return std::make_shared<mochi::ThalliumListener>(server);
}

}  // namespace parsl_tl
