#include "requests/open_model.hpp"

#include <algorithm>

#include "errors.hpp"
#include "remote_store.hpp"

namespace parsl_tl {
namespace {

constexpr int kOpenAttempts = 3;
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 60;  // as the engine has it

bool is_shape_of(const TensorInfo& tensor) {
  return std::all_of(tensor.shape.begin(), tensor.shape.end(), [](auto n) { return n >= 0; }) &&
         shape_fits(tensor.shape, tensor.size);
}

/// Adds the tensors that a server has of the model to the layers that they belong to. The server
/// numbers layers in its own order: that of the model at home, or of what it holds elsewhere.
void add_tensors(RemoteModel& model, const OpenModelReply& reply,
                 const std::vector<std::size_t>& places) {
  const std::size_t tensors = reply.tensor_layers.size();
  if (reply.tensor_dtypes.size() != tensors || reply.tensor_shapes.size() != tensors ||
      reply.tensor_sizes.size() != tensors) {
    throw StoreException(ErrorCode::kInvalidValue,
                         "malformed reply: a list of tensors is shorter than its companions");
  }
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < tensors; ++i) {
    if (reply.tensor_layers[i] >= places.size()) {
      throw StoreException(ErrorCode::kInvalidValue, "malformed reply: a tensor without a layer");
    }
    TensorInfo tensor;
    tensor.size = reply.tensor_sizes[i];
    tensor.dtype = reply.tensor_dtypes[i];
    tensor.shape = reply.tensor_shapes[i];
    if (tensor.size > kMostBytes - bytes || !is_shape_of(tensor)) {
      throw StoreException(ErrorCode::kInvalidValue, "malformed reply: a tensor of " +
                                                         std::to_string(tensor.size) + " bytes");
    }
    bytes += tensor.size;
    RemoteModel::Layer& layer = model.layers[places[reply.tensor_layers[i]]];
    tensor.key = layer.key;
    layer.fetched.push_back(std::move(tensor));
  }
}

}  // namespace

std::shared_ptr<Segment> RemoteStore::segment(ServerConnection& connection, std::uint64_t owner,
                                              const OpenModelReply& reply) {
  if (const auto held = segments_.find(owner); held != nullptr && held->was_replaced()) {
    segments_.forget(owner);
  }
  return segments_.find_or_make(owner, [&] {
    const HelloReply facts = connection.facts();
    if (!reply.folders.empty()) {  // of a store that the server follows
      const std::string& folder = reply.folders[owner % reply.folders.size()];
      return std::make_shared<Segment>(segment_path(folder, owner), owner, facts.checksums);
    }
    std::shared_ptr<Segment> opened;
    try {
      opened = std::make_shared<Segment>(segment_path(facts.folder, owner), owner, facts.checksums);
    } catch (const StoreException&) {
      connection.require_folder();  // which tells more
      throw;
    }
    // The server is not asked for what is mapped: another store may lie there by now.
    connection.require_folder();
    return opened;
  });
}

std::shared_ptr<RemoteModel> RemoteStore::find_recent(std::uint64_t id) {
  auto recent = recent_.find(id);
  if (recent == nullptr || recent->is_kept()) return recent;
  recent_.forget(id);
  return nullptr;
}

void RemoteStore::forget(std::uint64_t id) {
  compositions_.forget(id);
  recent_.forget(id);
}

void RemoteStore::forget_unless(std::uint64_t id, std::int64_t created_ns) {
  const auto is_other = [&](const auto& known) {
    return known != nullptr && known->created_ns != created_ns;
  };
  if (is_other(compositions_.find(id))) compositions_.forget(id);
  if (is_other(recent_.find(id))) recent_.forget(id);
  if (is_other(matches_.find(id))) matches_.forget(id);
}

std::shared_ptr<const Composition> RemoteStore::composition(std::uint64_t id) {
  if (auto known = compositions_.find(id)) return known;
  OpenModelRequest request;
  request.model_id = id;
  auto made = Composition::from(id, home(id).ask(request));
  compositions_.keep(id, made);
  return made;
}

std::shared_ptr<RemoteModel> RemoteStore::open(std::uint64_t id) {
  ServerConnection& connection = home(id);
  auto known = compositions_.find(id);
  OpenModelRequest request;
  request.model_id = id;
  const auto recent = find_recent(id);
  Lease lease = new_lease(connection);
  if (recent != nullptr) lease.number = recent->lease;
  request.let_go = parts_->let_go.take(connection.index());
  request.lease = lease.is_kept ? lease.number : 0;
  request.knows_layers = known != nullptr;
  const OpenModelReply reply = connection.ask(request);  // kNotFound if it is not living
  if (known != nullptr && known->created_ns != reply.created_ns) {
    forget_unless(id, reply.created_ns);
    return open(id);
  }
  if (known == nullptr) {
    known = Composition::from(id, reply);
    compositions_.keep(id, known);
  }
  // Its lease goes with it: should the server have been started anew just now, there is another.
  if (recent != nullptr && recent->created_ns == reply.created_ns) {
    return recent->is_kept() ? recent : open(id);
  }
  if (recent != nullptr) recent_.forget(id);
  return opened(*known, reply, lease);
}

RemoteStore::Lease RemoteStore::new_lease(ServerConnection& connection) {
  return {++parts_->leases, !connection.is_mapped(), connection.epoch()};
}

/// Makes a model of what its server replied.
std::shared_ptr<RemoteModel> RemoteStore::opened(const Composition& composition,
                                                 const OpenModelReply& reply, const Lease& lease) {
  const std::uint32_t server = home(composition.model_id).index();
  auto model = std::make_shared<RemoteModel>(composition, lease.number, parts_);
  if (lease.is_kept) model->kept_by.push_back({server, lease.epoch});
  model->layers.reserve(composition.layers.size());
  for (const Composition::Layer& layer : composition.layers) {
    model->layers.push_back(
        {layer.name, layer.key, layer.owner, layer.bytes, layer.has_weights, nullptr, {}, {}});
  }
  open_layers(*model, composition, reply, server);
  recent_.keep(model->id, model);
  return model;
}

/// Maps the layers that lie on this machine, and asks the owners' servers for the others.
void RemoteStore::open_layers(RemoteModel& model, const Composition& composition,
                              const OpenModelReply& first, std::uint32_t home_index) {
  std::vector<std::vector<std::size_t>> places(connections().size());  // of each server's layers
  for (std::size_t i = 0; i < composition.layers.size(); ++i) {
    const Composition::Layer& layer = composition.layers[i];
    if (layer.has_weights) places[home(layer.owner).index()].push_back(i);
  }
  std::vector<std::uint32_t> others;
  for (std::uint32_t server = 0; server < places.size(); ++server) {
    ServerConnection& connection = *connections()[server];
    if (places[server].empty()) continue;
    if (!connection.is_mapped()) {
      if (server != home_index) others.push_back(server);
      continue;
    }
    for (const std::size_t i : places[server]) {
      RemoteModel::Layer& layer = model.layers[i];
      layer.segment = segment(connection, layer.owner, first);
      layer.tensors = layer.segment->range_of(layer.key, layer.name);
    }
  }
  if (!connections()[home_index]->is_mapped()) {
    std::vector<std::size_t> all(model.layers.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    add_tensors(model, first, all);
  }
  for (const std::uint32_t server : others) {
    model.kept_by.push_back({server, connections()[server]->epoch()});
  }
  std::vector<OpenModelReply> replies(others.size());
  parts_->fanout->run(others.size(), [&](std::size_t i) {
    OpenModelRequest request;
    request.model_id = model.id;
    request.let_go = parts_->let_go.take(others[i]);
    request.lease = model.lease;
    replies[i] = connections()[others[i]]->ask(request);
  });
  for (std::size_t i = 0; i < others.size(); ++i) {
    // What is held there has the order of the hold, which is the model's.
    std::unordered_map<std::uint64_t, std::size_t> place_of;
    for (const std::size_t place : places[others[i]]) place_of[model.layers[place].key] = place;
    std::vector<std::size_t> held;
    for (const std::uint64_t key : replies[i].layer_keys) {
      const auto found = place_of.find(key);
      if (found == place_of.end()) {
        throw StoreException(ErrorCode::kInvalidValue,
                             "malformed reply: a layer that the model "
                             "does not have");
      }
      held.push_back(found->second);
    }
    add_tensors(model, replies[i], held);
  }
  for (const RemoteModel::Layer& layer : model.layers) {
    if (!layer.has_weights || layer.segment != nullptr || !layer.fetched.empty()) continue;
    throw StoreException(ErrorCode::kInvalidValue,
                         "malformed reply: the reply lacks the tensors of layer " + layer.name);
  }
}

std::shared_ptr<RemoteModel> RemoteStore::pin(std::uint64_t id) {
  require_open();
  const auto match = matches_.find(id);
  if (match == nullptr) return open_living(id);
  try {
    return open_living(id);
  } catch (const StoreException& error) {
    // Retired, or its server is away: the match can be read all the same.
    if (error.code() != ErrorCode::kNotFound && error.code() != ErrorCode::kUnreachable) throw;
    return match;
  }
}

/// Throws kNotFound only if the model is not living, kCorrupt if it is and still cannot be opened.
std::shared_ptr<RemoteModel> RemoteStore::open_living(std::uint64_t id) {
  for (int attempt = 1;; ++attempt) {
    try {
      return with_one_answerer([&] { return open(id); });
    } catch (const StoreException& error) {
      if (error.code() != ErrorCode::kNotFound) throw;
      const bool is_there = contains(id);
      if (!is_there) {
        forget(id);
        throw;
      }
      // Another client may have stored or retired something between two questions.
      if (attempt < kOpenAttempts) continue;
      throw missing_segment(id, error);
    }
  }
}

}  // namespace parsl_tl
