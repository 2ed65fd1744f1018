// A model of a store on servers, opened for reading: its layers are mapped where they lie on this
// machine, and fetched from their owners' servers where they do not.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "composition.hpp"
#include "fanout.hpp"
#include "reading.hpp"
#include "segment.hpp"
#include "server_connection.hpp"

namespace parsl_tl {

/// Leases of models that nobody reads any more, to be told to their servers with the next request.
class LetGo {
 public:
  void add(std::uint32_t server, std::uint64_t lease);
  std::vector<std::uint64_t> take(std::uint32_t server);

 private:
  std::mutex mutex_;
  std::map<std::uint32_t, std::vector<std::uint64_t>> leases_;
};

/// What a client's models share.
struct ClientParts {
  std::vector<std::unique_ptr<ServerConnection>> connections;
  std::unique_ptr<Fanout> fanout;
  LetGo let_go;
  std::atomic<std::uint64_t> leases = 0;  // that were numbered

  ServerConnection& home(std::uint64_t model_id) {
    return *connections[model_id % connections.size()];
  }
  /// Another number whenever somebody else may have answered than the one that was asked before.
  std::uint64_t epochs() const {
    std::uint64_t sum = 0;
    for (const auto& connection : connections) sum += connection->epoch();
    return sum;
  }
};

/// While it lives, its layers can be read, even if the model is retired; over a network for as long
/// as the server keeps them for a client that it does not hear from.
class RemoteModel {
 public:
  struct Layer {
    std::string name;
    std::uint64_t key = 0;
    std::uint64_t owner = 0;
    std::uint64_t bytes = 0;
    bool has_weights = false;
    std::shared_ptr<Segment> segment;  // where it is mapped
    Segment::Range tensors;            // in the segment's directory
    std::vector<TensorInfo> fetched;   // of the tensors, where it is not

    std::span<const TensorInfo> tensor_infos() const {
      return segment == nullptr ? std::span<const TensorInfo>(fetched) : segment->tensors(tensors);
    }
  };

  RemoteModel(const Composition& composition, std::uint64_t its_lease,
              std::shared_ptr<ClientParts> parts)
      : id(composition.model_id),
        created_ns(composition.created_ns),
        quality(composition.quality),
        lease(its_lease),
        parts_(std::move(parts)) {}
  ~RemoteModel();
  RemoteModel(const RemoteModel&) = delete;
  RemoteModel& operator=(const RemoteModel&) = delete;

  const std::uint64_t id;
  const std::int64_t created_ns;
  const double quality;
  const std::uint64_t lease;
  std::vector<Layer> layers;
  struct Keeper {
    std::uint32_t server = 0;
    std::uint64_t epoch = 0;
  };
  std::vector<Keeper> kept_by;  // servers that keep it readable under the lease

  ClientParts& parts() const noexcept { return *parts_; }
  /// Whether its servers keep it still, as far as is known here.
  bool is_kept() const;

 private:
  std::shared_ptr<ClientParts> parts_;
};

/// Bytes of layers, and what keeps them where they are.
struct ViewedLayers {
  std::vector<LayerBytes> layers;
  std::vector<std::shared_ptr<const void>> owners;
};

/// Verified bytes of the layers at the given places.
ViewedLayers view_layers(const RemoteModel& model, std::span<const std::size_t> places);

/// Copies layers into memory of exactly their tensors' sizes; see reading.hpp.
void copy_layers(const RemoteModel& model, std::span<const std::size_t> places,
                 std::span<const LayerMemory> memory);

}  // namespace parsl_tl
