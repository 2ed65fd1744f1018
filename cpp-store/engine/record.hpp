// The records of the log: what puts, retirements and compactions leave behind, and their Arrow
// encoding.
//
// A frame of the log is one Arrow record batch with a row for each record (many when models are put
// together), its buffers compressed by LZ4, or by Zstandard where there are many. The schema is the
// store's metadata format; nested data is flattened into parallel lists:
//
//   op              uint8              see Operation
//   model_id        uint64
//   created         timestamp[ns, UTC]
//   quality         float64            null unless a model is put
//   parent, donor   uint64             null where there is none
//   layer_keys      list<uint64>       one per layer, unique in the model, topological order
//   layer_names     list<utf8>
//   layer_owners    list<uint64>       which model owns the layer's tensors (the owner map)
//   layer_bytes     list<uint64>       bytes of the layer's tensors, whoever owns them
//   layer_weights   list<bool>         whether the layer has tensors (those may be empty)
//   segment_bytes   uint64             size of the model's own segment file, 0 without one
//   edges           list<uint32>       source, target, source, target, ...
//   architecture    binary             Keras JSON
//   attributes      utf8               JSON object; of a hold, see holds.cpp
//   owner_stores    list<utf8>         the identities of the other servers that owners live on
//   fingerprint     uint64             of the data that the model was trained on, 0 if none was
//   said
//
// The message's metadata tells how many columns it has. Without that, it is of a release that knew
// of no fingerprint; such releases read today's messages up to the columns that they know.
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace parsl_tl {

struct LayerRecord {
  std::uint64_t key = 0;
  std::string name;
  std::uint64_t owner = 0;
  std::uint64_t bytes = 0;
  bool has_weights = false;
};

enum class Operation : std::uint8_t {
  kPut = 1,
  kRetire = 2,
  kShrink = 3,    // compaction wrote the model's segment anew: only segment_bytes counts
  kDeparted = 4,  // stands in a compacted log for a retired model: its parent, and the layers of
                  // its own that others still hold
};

struct Record {
  Operation operation = Operation::kPut;
  std::uint64_t model_id = 0;
  std::int64_t created_ns = 0;
  double quality = 0.0;
  std::optional<std::uint64_t> parent;
  std::optional<std::uint64_t> donor;
  std::vector<LayerRecord> layers;
  std::uint64_t segment_bytes = 0;
  std::vector<std::uint32_t> edges;
  std::string architecture;
  std::string attributes;
  std::vector<std::string> owner_stores;
  std::uint64_t fingerprint = 0;
};

/// Where a record lies in the log.
struct RecordPlace {
  std::uint64_t offset = 0;  // of its frame
  std::uint32_t row = 0;
};

const std::shared_ptr<arrow::Schema>& record_schema();

/// The records as an Arrow IPC record batch message (without the schema).
std::shared_ptr<arrow::Buffer> encode(std::span<const Record> records);

/// Parses and validates a message. Throws StoreException(kCorrupt) for anything that is not a
/// batch of records; never reads outside the buffer.
std::vector<Record> decode(const std::shared_ptr<arrow::Buffer>& message);

}  // namespace parsl_tl
