// The records of the log: what a put and a retirement leave behind, and their Arrow encoding.
//
// One record is one Arrow record batch of one row, with buffers compressed by Zstandard. The schema (record_schema) is the store's
// documented metadata format; nested data is flattened into parallel lists:
//
//   op              uint8              1 put, 2 retire
//   model_id        uint64
//   created         timestamp[ns, UTC]
//   quality         float64            null for a retirement
//   parent, donor   uint64             null where there is none
//   layer_keys      list<uint64>       one per layer, unique in the model, topological order
//   layer_names     list<utf8>
//   layer_owners    list<uint64>       which model owns the layer's tensors (the owner map)
//   edges           list<uint32>       source, target, source, target, ...
//   tensor_layers   list<uint32>       one per tensor in the model's own segment: its layer
//   tensor_dtypes   list<utf8>         numpy names: float32, bfloat16
//   tensor_ranks    list<uint8>
//   tensor_shapes   list<int64>        all shapes, one after the other
//   tensor_offsets  list<uint64>       bytes from the start of the segment
//   tensor_sizes    list<uint64>       bytes
//   tensor_checksums list<uint64>      XXH3-64
//   architecture    binary             Keras JSON
//   attributes      utf8               JSON object
#pragma once

#include <arrow/type_fwd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace parsl_tl {

struct TensorRecord {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t checksum = 0;
};

struct LayerRecord {
  std::uint64_t key = 0;
  std::string name;
  std::uint64_t owner = 0;
  std::vector<TensorRecord> tensors;  // filled only where the model itself is the owner
};

enum class Operation : std::uint8_t { kPut = 1, kRetire = 2 };

struct Record {
  Operation operation = Operation::kPut;
  std::uint64_t model_id = 0;
  std::int64_t created_ns = 0;
  double quality = 0.0;
  std::optional<std::uint64_t> parent;
  std::optional<std::uint64_t> donor;
  std::vector<LayerRecord> layers;
  std::vector<std::uint32_t> edges;
  std::string architecture;
  std::string attributes;
};

const std::shared_ptr<arrow::Schema>& record_schema();

/// The record as an Arrow IPC record batch message (without the schema).
std::shared_ptr<arrow::Buffer> encode(const Record& record);

/// Parses and validates a message. Throws StoreException(kCorrupt) for anything that is not a
/// record; never reads outside the buffer.
Record decode(const std::shared_ptr<arrow::Buffer>& message);

}  // namespace parsl_tl
