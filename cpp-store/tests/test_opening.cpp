// Opening a store whose log is long: snapshots are made on the way, and lose nothing.
#include <arrow/buffer.h>

#include <filesystem>

#include "check.hpp"
#include "engine.hpp"
#include "layer_name.hpp"
#include "scratch.hpp"

namespace parsl_tl::testing {
namespace {

constexpr std::uint64_t kOwner = 1;
constexpr std::uint64_t kHeir = 2;
constexpr std::uint64_t kKey = 42;
// More frames than are read at once, and more records than go without a snapshot.
constexpr std::uint64_t kManyFrames = 1100;
constexpr std::uint64_t kRecordsOfFrame = 80;

Record departed(std::uint64_t id) {
  Record record;
  record.operation = Operation::kDeparted;
  record.model_id = id;
  return record;
}

/// As compaction writes it: the models that are gone, one of which owns what a living one holds,
/// and then the living one.
void write_compacted_log(const std::string& path) {
  Log::create(path);
  Log log(path, true);
  log.next();
  Record owner = departed(kOwner);
  owner.layers = {{kKey, "", kOwner, 8, true}};
  owner.segment_bytes = 200;
  log.append(*encode({&owner, 1}), false);
  std::vector<Record> records(kRecordsOfFrame);
  for (std::uint64_t frame = 0; frame < kManyFrames; ++frame) {
    for (std::uint64_t i = 0; i < kRecordsOfFrame; ++i) {
      records[i] = departed(10 + frame * kRecordsOfFrame + i);
    }
    log.append(*encode(records), false);
  }
  Record heir;
  heir.model_id = kHeir;
  heir.donor = kOwner;
  heir.layers = {{kKey, format_layer_name("Dense", kKey), kOwner, 8, true}};
  log.append(*encode({&heir, 1}), false);
}

CASE(opening_keeps_what_departed_models_own) {
  const Scratch scratch;
  const std::string folder = scratch / "store";
  {
    const Engine made(folder, {});
  }
  std::filesystem::remove(folder + "/log");
  write_compacted_log(folder + "/log");
  for (int i = 0; i < 2; ++i) {  // from the log, and from the snapshot of it
    Engine engine(folder, {});
    CHECK_EQ(engine.num_models(), 1U);
    CHECK_EQ(engine.reference_count(kOwner, kKey), 1U);
    CHECK_EQ(engine.model(kHeir).layers.at(0).name, format_layer_name("Dense", kKey));
    CHECK_EQ(engine.take_warnings().size(), 0U);
    engine.fold();
    CHECK_EQ(engine.stats().at("changes_since_snapshot"), 0U);
  }
}

CASE(compaction_removes_segments_and_nothing_else) {
  const Scratch scratch;
  const std::string folder = scratch / "store";
  Engine engine(folder, {});
  const std::string orphan = segment_path(folder, 0xABC);
  const std::vector<std::string> others{orphan + ".bak", orphan + "~", folder + "/segments/abc.seg",
                                        folder + "/segments/notes"};
  write_file(orphan, Bytes(10));
  for (const std::string& path : others) write_file(path, Bytes(10));
  CHECK_EQ(engine.compact().bytes_freed, 10U);
  CHECK(!std::filesystem::exists(orphan));
  for (const std::string& path : others) CHECK(std::filesystem::exists(path));
}

}  // namespace
}  // namespace parsl_tl::testing
