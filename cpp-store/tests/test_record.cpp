// Records survive encoding; what is no batch of records is refused.
#include <arrow/buffer.h>

#include <cmath>
#include <limits>

#include "check.hpp"
#include "random.hpp"
#include "record.hpp"

namespace parsl_tl {

static bool operator==(const LayerRecord& a, const LayerRecord& b) {
  return a.key == b.key && a.name == b.name && a.owner == b.owner && a.bytes == b.bytes &&
         a.has_weights == b.has_weights;
}

static bool operator==(const Record& a, const Record& b) {
  return a.operation == b.operation && a.model_id == b.model_id && a.created_ns == b.created_ns &&
         a.quality == b.quality && a.parent == b.parent && a.donor == b.donor &&
         a.layers == b.layers && a.segment_bytes == b.segment_bytes && a.edges == b.edges &&
         a.architecture == b.architecture && a.attributes == b.attributes &&
         a.fingerprint == b.fingerprint;
}

namespace testing {
namespace {

std::string random_text(Random& random, std::size_t most) {
  std::string text(random.below(most + 1), ' ');
  for (char& letter : text) letter = static_cast<char>('a' + random.below(26));
  return text;
}

Record random_record(Random& random) {
  Record record;
  record.operation = static_cast<Operation>(1 + random.below(4));
  record.model_id = random();
  record.created_ns = static_cast<std::int64_t>(random());
  if (random.chance(0.5)) record.parent = random();
  if (random.chance(0.3)) record.donor = random();
  record.segment_bytes = random();
  const bool put = record.operation == Operation::kPut;
  if (put) record.quality = static_cast<double>(static_cast<std::int64_t>(random())) / 3.0;
  if (put || record.operation == Operation::kDeparted) {
    const std::size_t layers = random.below(20);
    for (std::size_t i = 0; i < layers; ++i) {
      const bool has_weights = !put || random.chance(0.7);
      const std::uint64_t owner =
          put && has_weights && random.chance(0.5) ? random() : record.model_id;
      record.layers.push_back({random(), put ? random_text(random, 30) : "", owner,
                               has_weights ? random() : 0, has_weights});
    }
    for (std::size_t i = 0; put && i < 2 * layers; ++i) {
      record.edges.push_back(static_cast<std::uint32_t>(random.below(layers)));
    }
  }
  record.architecture = random_text(random, 300);
  record.attributes = random_text(random, 300);
  record.fingerprint = random.chance(0.5) ? random() : 0;
  return record;
}

std::shared_ptr<arrow::Buffer> buffer_of(const std::vector<std::uint8_t>& bytes) {
  return std::make_shared<arrow::Buffer>(bytes.data(), static_cast<std::int64_t>(bytes.size()));
}

std::vector<std::uint8_t> encoded(const std::vector<Record>& records) {
  const auto buffer = encode(records);
  return {buffer->data(), buffer->data() + buffer->size()};
}

CASE(record_round_trip) {
  Random random(4);
  for (int round = 0; round < 100; ++round) {
    std::vector<Record> records(1 + random.below(30));
    for (Record& record : records) record = random_record(random);
    CHECK(decode(encode(records)) == records);
  }
}

CASE(record_cut_off_is_refused) {
  Random random(5);
  std::vector<Record> records(3);
  for (Record& record : records) record = random_record(random);
  const auto whole = encoded(records);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    // Behind the last buffer there may be padding that nothing needs.
    const std::vector<std::uint8_t> part(whole.begin(), whole.begin() + static_cast<long>(size));
    try {
      CHECK(decode(buffer_of(part)) == records);
      CHECK(size + 8 > whole.size());
    } catch (const StoreException& error) {
      CHECK_EQ(error.code(), ErrorCode::kCorrupt);
    }
  }
}

CASE(record_damage_is_refused_or_read) {
  Random random(6);
  std::vector<Record> records(5);
  for (Record& record : records) record = random_record(random);
  const auto whole = encoded(records);
  for (int round = 0; round < 3000; ++round) {
    auto damaged = whole;
    for (std::size_t i = 0; i <= random.below(4); ++i) {
      damaged[random.below(damaged.size())] ^= static_cast<std::uint8_t>(1 + random.below(255));
    }
    try {
      decode(buffer_of(damaged));
    } catch (const StoreException& error) {
      CHECK_EQ(error.code(), ErrorCode::kCorrupt);
    }
  }
}

CASE(record_without_sense_is_refused) {
  Record record;
  record.model_id = 1;
  record.layers = {{7, "a", 1, 10, true}};
  CHECK_EQ(decode(encode({&record, 1})).size(), 1U);
  const auto refused = [&record](auto change) {
    Record changed = record;
    change(changed);
    CHECK_THROWS(decode(encode({&changed, 1})), ErrorCode::kCorrupt);
  };
  refused([](Record& r) { r.quality = std::nan(""); });
  refused([](Record& r) { r.quality = std::numeric_limits<double>::infinity(); });
  refused([](Record& r) { r.operation = static_cast<Operation>(0); });
  refused([](Record& r) { r.operation = static_cast<Operation>(5); });
  refused([](Record& r) { r.edges = {0}; });
  refused([](Record& r) { r.edges = {0, 1}; });
  refused([](Record& r) { r.layers[0].has_weights = false; });      // but it has bytes
  refused([](Record& r) { r.layers[0] = {7, "a", 2, 0, false}; });  // another's nothing
  refused([](Record& r) { r.operation = Operation::kDeparted, r.layers[0].owner = 2; });
  CHECK_THROWS(decode(encode({})), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace testing
}  // namespace parsl_tl
