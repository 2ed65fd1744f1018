// Arrow data for Python, as the capsules of the Arrow PyCapsule interface.
#pragma once

#include <arrow/type_fwd.h>
#include <pybind11/pybind11.h>

namespace parsl_tl {

/// (schema, array).
pybind11::tuple export_batch(const arrow::RecordBatch& batch);
/// One such pair for each batch of the table; one without rows if there is none.
pybind11::list export_table(const arrow::Table& table);

}  // namespace parsl_tl
