#include "engine.hpp"

#include <arrow/buffer.h>
#include <unistd.h>

#include <algorithm>

#include "clock.hpp"
#include "errors.hpp"
#include "parallel.hpp"

namespace parsl_tl {
namespace {

std::vector<std::uint64_t> owners_of(const Model& model) {
  std::vector<std::uint64_t> owners;
  for (const LayerRecord& layer : model.layers) {
    if (layer.has_weights) owners.push_back(layer.owner);
  }
  std::sort(owners.begin(), owners.end());
  owners.erase(std::unique(owners.begin(), owners.end()), owners.end());
  return owners;
}

}  // namespace

RetireResult Engine::append(std::vector<Record> records, Need need) {
  const auto payload = encode(records);
  const LogStamp before = log_->stamp();
  const auto write = [&] { log_->append(*payload, options_.sync); };
  if (need == Need::kFreesSpace) {
    with_reserve(write);
  } else {
    write();
  }
  try {
    std::vector<Catalog::Change> changes;
    std::uint64_t sequence = state_.read()->catalog.next_sequence();
    for (std::uint32_t row = 0; row < records.size(); ++row) {
      const bool is_put = records[row].operation == Operation::kPut;
      changes.push_back(
          Catalog::prepare(std::move(records[row]), {before.position, row}, sequence));
      if (is_put) ++sequence;
    }
    RetireResult result = state_.update([&](State& state) {
      RetireResult last;
      for (const Catalog::Change& change : changes) last = state.catalog.apply(change);
      state.position = log_->position();
      return last;
    });
    forget(changes);
    return result;
  } catch (...) {
    log_->seek(before);  // it is stored; the next look at the log takes it in
    throw;
  }
}

template <typename Question>
auto Engine::ask(Question question) {
  try {
    return question(refreshed()->catalog);
  } catch (const StoreException& error) {
    // The index of a snapshot is verified by the first question that needs it.
    if (error.code() != ErrorCode::kCorrupt) throw;
    leave_snapshot(error.what());
  }
  return question(refreshed()->catalog);
}

std::uint64_t Engine::retire(std::uint64_t id) {
  require_open();
  require_writable();
  require_home_of(id);
  return retire_holder(id);
}

std::uint64_t Engine::retire_holder(std::uint64_t id, std::uint64_t attempt) {
  RetireResult result;
  {
    const Turn turn(*this);
    // Should this process die before the last segment is gone, the next writer removes the rest of
    // those that died.
    const auto holder = state_.read()->catalog.get(id);
    if (attempt != 0 && !is_hold_of(*holder, attempt)) return 0;
    const auto owners = owners_of(*holder);
    with_reserve([&] { intent_->declare(owners); });
    Record record;
    record.operation = Operation::kRetire;
    record.model_id = id;
    record.created_ns = now_ns();
    result = append({std::move(record)}, Need::kFreesSpace);
    for (const std::uint64_t owner : result.dead_segments) {
      ::unlink(folder_.segment_path(owner).c_str());
    }
    intent_->clear();
    reserve_->restore();  // if there is space now
  }
  fold_if_due();
  return result.bytes_freed;
}

std::shared_ptr<PinnedModel> Engine::find_donor(const Query& query) {
  for (;;) {
    const Donor donor = ask([&](const Catalog& catalog) { return catalog.best(query); });
    if (!donor.found) return nullptr;
    try {
      return pin(donor.model_id);
    } catch (const StoreException& error) {
      // Retired in between: ask again. Every round means that a model was retired, so this ends.
      if (error.code() != ErrorCode::kNotFound) throw;
    }
  }
}

std::vector<Donor> Engine::find_donors(const std::vector<Query>& queries, unsigned threads) {
  std::vector<Donor> donors(queries.size());
  improve_donors(queries, donors, threads);
  return donors;
}

void Engine::improve_donors(const std::vector<Query>& queries, std::span<Donor> donors,
                            unsigned threads) {
  // In pieces, so that no reader stays in one state for long.
  constexpr std::size_t kPiece = 64;
  parallel_for((queries.size() + kPiece - 1) / kPiece, threads, [&](std::size_t piece) {
    const std::size_t first = piece * kPiece;
    const std::size_t last = std::min(queries.size(), first + kPiece);
    // Should a snapshot turn out to be damaged, the catalog is asked again: that improves no more.
    ask([&](const Catalog& catalog) {
      for (std::size_t i = first; i < last; ++i) catalog.improve(queries[i], donors[i]);
    });
  });
}

Model Engine::model(std::uint64_t id) { return *refreshed()->catalog.get(id); }

std::optional<std::int64_t> Engine::created_ns(std::uint64_t id) {
  return refreshed()->catalog.created_ns(id);
}

Record Engine::record(std::uint64_t id) {
  const View state = refreshed();
  const RecordPlace place = state->catalog.get(id)->place;
  std::vector<Record> records = decode(state->log->read_frame(place.offset));
  if (place.row >= records.size() || records[place.row].model_id != id) {
    throw StoreException(ErrorCode::kCorrupt, "model " + hex_id(id) +
                                                  ": its record is not where it was; remove " +
                                                  folder_.snapshot_path());
  }
  return std::move(records[place.row]);
}

std::vector<std::uint64_t> Engine::ancestors(std::uint64_t id) {
  const View state = refreshed();
  if (!state->catalog.was_used(id)) state->catalog.get(id);  // throws
  return state->catalog.ancestors(id);
}

std::vector<std::uint64_t> Engine::descendants(std::uint64_t id) {
  const View state = refreshed();
  if (!state->catalog.was_used(id)) state->catalog.get(id);  // throws
  return descendants_in(state->catalog.links_below({&id, 1}), id);
}

std::vector<LineageLink> Engine::links_below(std::span<const std::uint64_t> ids) {
  return refreshed()->catalog.links_below(ids);
}

bool Engine::was_used(std::uint64_t id) { return refreshed()->catalog.was_used(id); }

std::uint64_t Engine::reference_count(std::uint64_t owner, std::uint64_t key) {
  const View state = refreshed();
  if (const auto use = state->catalog.find_layer(owner, key)) return use->references;
  // A layer without tensors is its model's alone.
  const auto model = state->catalog.find(owner);
  if (model == nullptr) return 0;
  return std::count_if(model->layers.begin(), model->layers.end(), [&](const LayerRecord& layer) {
    return layer.key == key && layer.owner == owner;
  });
}

bool Engine::contains(std::uint64_t id) { return refreshed()->catalog.contains(id); }

std::uint64_t Engine::num_models() { return refreshed()->catalog.num_models(); }

std::uint64_t Engine::bytes_live() { return refreshed()->catalog.bytes_live(); }

std::uint64_t Engine::bytes_segments() { return refreshed()->catalog.bytes_segments(); }

}  // namespace parsl_tl
