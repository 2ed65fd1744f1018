#include "remote_store.hpp"

#include <random>

#include "errors.hpp"

namespace parsl_tl {
namespace {

// More servers than these wait for each other.
constexpr std::size_t kMostThreads = 32;

ClientId random_client() {
  std::random_device random;
  ClientId id;
  for (std::uint8_t& byte : id) byte = static_cast<std::uint8_t>(random());
  return id;
}

}  // namespace

RemoteStore::RemoteStore(std::vector<std::shared_ptr<Channel>> channels,
                         std::vector<std::string> addresses, ConnectionOptions options,
                         const std::vector<Way>& replicas)
    : options_(std::move(options)), parts_(std::make_shared<ClientParts>()) {
  if (channels.empty() || channels.size() != addresses.size()) {
    throw StoreException(ErrorCode::kInvalidValue, "a store has at least one server");
  }
  const ClientId client = random_client();
  const auto count = static_cast<std::uint32_t>(channels.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    std::vector<Way> ways{{std::move(channels[i]), std::move(addresses[i])}};
    ways.insert(ways.end(), replicas.begin(), replicas.end());
    parts_->connections.push_back(std::make_unique<ServerConnection>(
        std::move(ways), client, Membership{i, count}, options_));
  }
  parts_->fanout = std::make_unique<Fanout>(kMostThreads);
  parts_->fanout->run(count, [this](std::size_t i) { connections()[i]->facts(); });
  agree();
}

RemoteStore::~RemoteStore() {
  // In a fork of the process that opened the store, its threads and those of its transports are not
  // there, and what they wait on can be neither used nor destroyed: it is left as it is.
  if (process_ != ::getpid()) static_cast<void>(new std::shared_ptr<ClientParts>(parts_));
}

void RemoteStore::close() {
  if (closed_.exchange(true) || process_ != ::getpid()) return;
  parts_->fanout->run(connections().size(), [this](std::size_t i) { connections()[i]->leave(); });
}

void RemoteStore::require_open() const {
  if (closed_) throw StoreException(ErrorCode::kClosed, "the store was closed");
  if (process_ != ::getpid()) {
    throw StoreException(ErrorCode::kClosed,
                         "the store was opened before this process was forked; open it anew");
  }
}

void RemoteStore::require_writable() const {
  require_open();
  if (options_.read_only) {
    throw StoreException(ErrorCode::kPermission, "the store was opened with read_only=True");
  }
}

}  // namespace parsl_tl
