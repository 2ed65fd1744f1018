// Writes the seeds of every target's corpus: fuzz_seeds <folder of the corpus>.
//
// The same seeds each time but for the log's generation; crashes that were found lie beside them.
#include <arrow/buffer.h>

#include <cstdio>
#include <filesystem>

#include "folder.hpp"
#include "history.hpp"
#include "layer_name.hpp"
#include "log.hpp"
#include "protocol_seeds.hpp"
#include "scratch.hpp"
#include "snapshot_writer.hpp"
#include "wrap.hpp"

namespace parsl_tl::fuzz {
namespace {

class Corpus {
 public:
  explicit Corpus(std::string folder) : folder_(std::move(folder)) {}

  void add(const std::string& target, const std::string& name, const Bytes& bytes) const {
    std::filesystem::create_directories(folder_ + "/" + target);
    testing::write_file(folder_ + "/" + target + "/seed-" + name, bytes);
  }
  void add(const std::string& target, const std::string& name, const std::string& text) const {
    add(target, name, Bytes(text.begin(), text.end()));
  }

 private:
  std::string folder_;
};

Bytes bytes_of(const arrow::Buffer& buffer) {
  return {buffer.data(), buffer.data() + buffer.size()};
}

void add_records_and_logs(const Corpus& corpus) {
  testing::History history({.seed = 1, .num_layers = 6});
  Catalog catalog;
  Bytes frames;
  std::vector<Record> all;
  for (int i = 0; i < 6; ++i) {
    const auto records = history.next(catalog);
    testing::apply(catalog, records, 16);
    all.insert(all.end(), records.begin(), records.end());
    const Bytes frame = log_frame(bytes_of(*encode(records)));
    if (i < 2) frames.insert(frames.end(), frame.begin(), frame.end());
  }
  Record empty;
  corpus.add("record", "empty", bytes_of(*encode({&empty, 1})));
  corpus.add("record", "first", bytes_of(*encode(std::span(all).first(1))));
  corpus.add("record", "several", bytes_of(*encode(all)));
  corpus.add("log", "frames", frames);
  corpus.add("log", "torn", Bytes(frames.begin(), frames.end() - 100));
  corpus.add("log", "payload", bytes_of(*encode(std::span(all).first(1))));
}

void add_segments(const Corpus& corpus) {
  const testing::Scratch scratch;
  testing::Random random(2);
  const Bytes noise = random.bytes(40);
  const Bytes zeros(400, 0);
  const std::vector<TensorView> views{{9, "float32", {2, 5}, noise},
                                      {9, "int8", {400}, zeros},
                                      {7, "float32", {0, 3}, {}},
                                      {5, "uint8", {}, std::span(noise).first(1)}};
  for (const Codec codec : {Codec::kRaw, Codec::kLz4, Codec::kZstd}) {
    SegmentWriter writer(scratch.path(), 1, views, {codec, codec != Codec::kZstd, false});
    writer.publish(scratch / "segment");
    corpus.add("segment", name_of(codec), testing::read_file(scratch / "segment"));
  }
}

void add_snapshots(const Corpus& corpus) {
  const testing::Scratch scratch;
  const std::atomic<bool> stop{false};
  testing::History history({.seed = 3, .num_layers = 5});
  Catalog catalog;
  for (int i = 0; i < 9; ++i) {
    if (i % 4 == 0) {
      write_snapshot(catalog, {1, 16}, scratch.path(), scratch / "snapshot", stop);
      corpus.add("snapshot", std::to_string(i), testing::read_file(scratch / "snapshot"));
    }
    testing::apply(catalog, history.next(catalog), 16);
  }
}

void add_small_ones(const Corpus& corpus) {
  for (const Codec codec : {Codec::kRaw, Codec::kLz4}) {
    corpus.add("folder", "format-" + name_of(codec), format_text({codec, {}}));
  }
  corpus.add("folder", "intent",
             Bytes{2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0});
  corpus.add("layer_name", "plain", format_layer_name("Dense", 0x0123456789ABCDEF));
  corpus.add("layer_name", "twin", format_layer_name("Multi_Head", 42, 17));
  corpus.add("query", "layers", Bytes{0, 0, 1, 2, 3, 4, 5});
  corpus.add("query", "quality",
             Bytes{1,    7,    0, 0, 0, 0, 0, 0,   0xF0, 0x3F, 0, 0, 0, 0, 0, 0,
                   0xD0, 0x3F, 3, 9, 8, 7, 6, 255, 1,    1,    1, 1, 1, 1, 1, 1});
  corpus.add("query", "data", Bytes{1, 67, 0,    0,    0, 0, 0, 0, 0xF0, 0x3F, 0, 0, 0, 0,
                                    0, 0,  0xD0, 0x3F, 3, 9, 8, 7, 6,    5,    1, 2, 3, 4});
  corpus.add("query", "weights", Bytes{2, 0, 1, 0, 0, 128, 63, 2, 0, 0, 0, 64, 1, 0, 0, 0, 0});
}

}  // namespace
}  // namespace parsl_tl::fuzz

int main(int argc, char** argv) {
  using namespace parsl_tl::fuzz;
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds <folder of the corpus>\n");
    return 2;
  }
  const Corpus corpus(argv[1]);
  add_records_and_logs(corpus);
  add_segments(corpus);
  add_snapshots(corpus);
  add_small_ones(corpus);
  const AddSeed add = [&](const auto&... seed) { corpus.add(seed...); };
  add_request_seeds(add);
  add_reply_seeds(add);
  return 0;
}
