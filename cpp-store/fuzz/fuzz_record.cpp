// Messages of the log: whatever decodes can be encoded again, and applied to a catalog.
#include <arrow/buffer.h>

#include "catalog.hpp"
#include "record.hpp"
#include "wrap.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parsl_tl;
  fuzz::answer([&] {
    const auto message = std::make_shared<arrow::Buffer>(data, static_cast<std::int64_t>(size));
    std::vector<Record> records = decode(message);
    encode(records);
    Catalog catalog;
    for (std::uint32_t row = 0; row < records.size(); ++row) {
      catalog.apply(Catalog::prepare(std::move(records[row]), {16, row}, catalog.next_sequence()));
    }
  });
  return 0;
}
