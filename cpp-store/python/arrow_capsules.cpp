#include "arrow_capsules.hpp"

#include <arrow/api.h>
#include <arrow/c/bridge.h>

#include <memory>

#include "errors.hpp"

namespace py = pybind11;

namespace parsl_tl {
namespace {

void release_array(PyObject* capsule) {
  auto* array = static_cast<ArrowArray*>(PyCapsule_GetPointer(capsule, "arrow_array"));
  if (array->release != nullptr) array->release(array);
  delete array;
}

void release_schema(PyObject* capsule) {
  auto* schema = static_cast<ArrowSchema*>(PyCapsule_GetPointer(capsule, "arrow_schema"));
  if (schema->release != nullptr) schema->release(schema);
  delete schema;
}

}  // namespace

py::tuple export_batch(const arrow::RecordBatch& batch) {
  auto array = std::make_unique<ArrowArray>();
  auto schema = std::make_unique<ArrowSchema>();
  const auto status = arrow::ExportRecordBatch(batch, array.get(), schema.get());
  if (!status.ok()) throw StoreException(ErrorCode::kIo, status.ToString());
  return py::make_tuple(py::capsule(schema.release(), "arrow_schema", &release_schema),
                        py::capsule(array.release(), "arrow_array", &release_array));
}

py::list export_table(const arrow::Table& table) {
  py::list batches;
  arrow::TableBatchReader reader(table);
  std::shared_ptr<arrow::RecordBatch> batch;
  for (;;) {
    const auto status = reader.ReadNext(&batch);
    if (!status.ok()) throw StoreException(ErrorCode::kIo, status.ToString());
    if (batch == nullptr) break;
    batches.append(export_batch(*batch));
  }
  if (batches.empty()) {
    const auto none = arrow::RecordBatch::MakeEmpty(table.schema());
    if (!none.ok()) throw StoreException(ErrorCode::kIo, none.status().ToString());
    batches.append(export_batch(**none));
  }
  return batches;
}

}  // namespace parsl_tl
