#include "protocol_seeds.hpp"

#include <mutex>

#include "client_calls.hpp"
#include "loopback.hpp"
#include "reply_input.hpp"
#include "request_input.hpp"
#include "server.hpp"
#include "server_fixture.hpp"
#include "small_store.hpp"
#include "store_ids.hpp"

namespace parsl_tl::fuzz {
namespace {

Input as_input(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

template <typename Request>
std::uint8_t place_of() {
  return static_cast<std::uint8_t>(find_request(Request::kKind).place);
}

/// Model 13, which inherits from model 10.
std::unique_ptr<testing::SampleModel> heir() {
  auto model = std::make_unique<testing::SampleModel>(13, 1.0);
  for (const std::uint64_t layer : {0, 1}) {
    model->add(testing::sample_hash(layer, 0), layer == 1);
  }
  model->request.donor = model->request.parent = 10;
  return model;
}

/// A channel to a server that notes its replies.
class Recording final : public Channel {
 public:
  Recording(std::shared_ptr<Channel> channel, std::uint8_t server, ReplyInput& into,
            std::vector<std::string>& replies, std::mutex& mutex)
      : channel_(std::move(channel)),
        server_(server),
        into_(into),
        replies_(replies),
        mutex_(mutex) {}

  std::string call(const Call& call) override {
    std::string reply = channel_->call(call);
    const RequestKind kind = parse_request(call.request).kind;
    if (kind == RequestKind::kHello) return reply;
    const std::lock_guard guard(mutex_);
    replies_.push_back(reply.substr(kReplyHeaderBytes));
    into_.replies.push_back({server_, static_cast<std::uint8_t>(find_request(kind).place), {}});
    return reply;
  }

 private:
  std::shared_ptr<Channel> channel_;
  std::uint8_t server_;
  ReplyInput& into_;
  std::vector<std::string>& replies_;
  std::mutex& mutex_;
};

/// Three servers, or one, with what the calls ask for.
struct Servers {
  explicit Servers(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto engine = std::make_shared<Engine>(scratch / std::to_string(i), EngineOptions{});
      channels.push_back(
          std::make_shared<testing::Loopback>(std::make_shared<Server>(engine, ServerOptions{}),
                                              std::make_shared<testing::Failures>()));
    }
    RemoteStore store({channels.begin(), channels.end()}, std::vector<std::string>(count, "server"),
                      {});
    for (const std::uint64_t id : {1, 2, 4, 7, 10}) {
      testing::SampleModel model(id, 1.0);
      for (std::uint64_t layer = 0; layer <= id / 3; ++layer) {
        model.add(testing::sample_hash(layer, 0), layer == id / 3);
      }
      if (id > 2) model.request.donor = model.request.parent = id == 4 ? 2 : id - 3;
      store.put(model.request);
    }
  }
  testing::Scratch scratch;
  std::vector<std::shared_ptr<Channel>> channels;
};

void add_reply_seed(const AddSeed& add, std::uint8_t call, std::uint8_t flags) {
  const std::uint32_t count = (flags & kThreeServers) != 0 ? 3 : 1;
  const Servers servers(count);
  ReplyInput input{call, flags, {}};
  std::vector<std::string> replies;
  std::mutex mutex;
  std::vector<std::shared_ptr<Channel>> channels;
  for (std::uint32_t i = 0; i < count; ++i) {
    channels.push_back(std::make_shared<Recording>(
        servers.channels[i], static_cast<std::uint8_t>(i), input, replies, mutex));
  }
  ConnectionOptions options;
  options.maps_segments = (flags & kMapped) != 0;
  RemoteStore store(channels, std::vector<std::string>(count, "server"), options);
  answer([&] { make_client_call(store, call); });
  for (std::size_t i = 0; i < replies.size(); ++i) input.replies[i].bytes = as_input(replies[i]);
  std::string name = std::to_string(call);
  name.append("-").append(std::to_string(flags));
  add("reply", name, input.bytes());
}

}  // namespace

void add_request_seeds(const AddSeed& add) {
  using namespace testing;
  const auto seed = [&]<typename Request>(const std::string& name, const Request& request,
                                          Input upload = {}, std::uint8_t state = 1,
                                          std::uint8_t flags = 0) {
    const std::string message = encoded(request);
    const RequestInput input{state, flags, place_of<Request>(), as_input(message), upload};
    add("request", name, input.bytes());
  };
  // Every kind as it is, to a server that is alone, and to one of three.
  for (const std::uint8_t state : {1, 2}) {
    for_each_request([&]<typename Request>() {
      const std::string name = find_request(Request::kKind).name;
      seed(state == 1 ? name : name + "-of-three", Request{}, {}, state);
    });
  }
  const auto model = heir();
  Bytes upload;
  for (const auto& piece : upload_of(model->request)) {
    upload.insert(upload.end(), piece.begin(), piece.end());
  }
  PutMessage put = message_of(model->request);
  seed("put-heir", put, upload);
  seed("put-limited", put, upload, 3);
  PutMessage no_text = put;
  no_text.attributes = "{\"a\": \"\xFF\xFE\"}";
  seed("put-attributes-no-utf8", no_text, upload);
  put.names_inherited = true;
  put.inherited_layers = {0};
  put.inherited_owners = {1};
  put.inherited_bytes = {sample_bytes(1, sample_key(0))};
  seed("put-names-inherited", put, upload, 2, kClaims);
  put.inherited_owners = {2};
  put.attempt = 5;
  seed("put-inherits-elsewhere", put, upload, 2);
  seed("put-many", PutArchitecturesRequest{{20, 21},
                                           {0, 1},
                                           {0, 20},
                                           {0, 1},
                                           {0, 1, 3},
                                           {1, 1, 2},
                                           {0, 0, 0},
                                           {"Dense"},
                                           {0, 0, 1},
                                           {0, 1},
                                           {7, 8}});
  seed("retire-living", RetireRequest{10}, {}, 2);
  const std::string name = format_layer_name("Dense", sample_hash(0, 0), 0);
  seed("hold-one", HoldMessage{5, {sample_key(0)}, {name}, {1}, 9, made_up_store(2).text()}, {}, 2);
  seed("release-one", ReleaseRequest{2, 5, made_up_store(2).text()}, {}, 2);
  const std::vector<std::string> stores{made_up_store(0).text(), made_up_store(1).text()};
  seed("join-two", JoinRequest{stores, 1}, {}, 0);
  seed("adopt-three", AdoptRequest{stores, 1, false}, {}, 2);
  seed("begin", BeginPutRequest{13, 5, "", 1, 1}, {}, 2);
  seed("settle", SettleRequest{{1, 13}, {5, 5}, 2, 1}, {}, 2);
  seed("best", FindDonorsRequest{{0, 2, 2, 3},
                                 {sample_key(0), sample_key(1), sample_key(0)},
                                 {0.5, 1, 2},
                                 2,
                                 0.5,
                                 0.25,
                                 {1},
                                 {{0, 7}},
                                 true,
                                 false,
                                 0,
                                 {},
                                 {}});
  seed("best-opens", FindDonorsRequest{{0, 2},
                                       {sample_key(0), sample_key(1)},
                                       {},
                                       0,
                                       0.0,
                                       std::nullopt,
                                       {},
                                       std::nullopt,
                                       false,
                                       true,
                                       7,
                                       {5},
                                       {1}});
  seed("open-lease", OpenModelRequest{10, {1, 2}, 5, false});
  seed("open-hold", OpenModelRequest{2, {}, 6, true}, {}, 2);
  seed("read", ReadLayersRequest{10, {sample_key(3), sample_key(0)}});
  seed("read-open", ReadLayersRequest{4, {sample_key(1)}}, {}, 3);
  seed("describe", DescribeModelRequest{10});
  seed("architecture-living", ArchitectureRequest{10});
  seed("ancestors-living", AncestorsRequest{10});
  seed("descendants-living", DescendantsRequest{{1}});
  seed("references", ReferenceCountRequest{1, sample_key(0)});
  seed("contains-some", ContainsRequest{{1, 7, 10}});
  seed("list-second", ListModelsRequest{1});
  seed("numbered", RetireRequest{10}, {}, 1, kNumbered);
  seed("hello-claims", HelloRequest{}, {}, 0, kClaims);
  seed("wrong-token", PutMessage{}, upload, 1, kWrongToken);
  RequestHeader header;
  header.kind = RequestKind::kContains;
  header.token.fill(7);
  const std::string whole = start_request(header) + encoded(ContainsRequest{{1, 2}});
  add("request", "whole", RequestInput{1, kWholeRequest, 0, as_input(whole), {}}.bytes());
}

void add_reply_seeds(const AddSeed& add) {
  for (std::uint8_t call = 0; call < kClientCalls; ++call) {
    for (const std::uint8_t flags : {0, 1}) add_reply_seed(add, call, flags);
  }
  for (const std::uint8_t call : {4, 6, 7}) add_reply_seed(add, call, kMapped);
  std::string hello = start_reply();
  const std::string store = testing::made_up_store(0).text();
  encode_message(
      HelloReply{"1", "", "", 0, 0, true, 0, 1, false, 1000, kHashScheme, store, {store}}, hello);
  std::string models = start_reply();
  encode_message(CountModelsReply{5}, models);
  const ReplyInput whole{11, kWholeReplies, {{0, 0, as_input(hello)}, {0, 18, as_input(models)}}};
  add("reply", "whole", whole.bytes());
  const std::string denied = error_reply(ErrorCode::kDenied, "no");
  add("reply", "denied", ReplyInput{11, kWholeReplies, {{0, 0, as_input(denied)}}}.bytes());
}

}  // namespace parsl_tl::fuzz
