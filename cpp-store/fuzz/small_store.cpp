#include "small_store.hpp"

#include <filesystem>

#include "layer_name.hpp"
#include "store_ids.hpp"

namespace parsl_tl::fuzz {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<testing::SampleModel> model(std::uint64_t id, std::uint64_t donor) {
  auto made = std::make_unique<testing::SampleModel>(id, static_cast<double>(id) / 4);
  const std::uint64_t layers = 1 + id / 3;
  for (std::uint64_t layer = 0; layer < layers; ++layer) {
    made->add(testing::sample_hash(layer, 0), layer + 1 == layers);
  }
  made->request.fingerprint = id % 2 == 0 ? 7 : 0;
  if (donor > 0) made->request.donor = made->request.parent = donor;
  return made;
}

}  // namespace

SmallStore::SmallStore(bool is_one_of_three) {
  Engine engine(scratch_ / "made", {});
  if (is_one_of_three) testing::join_as(engine, {1, 3});
  for (const std::uint64_t id : {1, 4, 7, 10}) {
    engine.put(model(id, id == 1 ? 0 : id - 3)->request);
    if (id == 4) engine.fold();
  }
  engine.retire(7);
  if (is_one_of_three) {
    const std::uint64_t hash = testing::sample_hash(0, 0);
    engine.hold({2,
                 {layer_key(hash, 0)},
                 {format_layer_name("Dense", hash, 0)},
                 {1},
                 5,
                 testing::made_up_store(2)});
  }
}

std::shared_ptr<Engine> SmallStore::fresh() {
  fs::remove_all(scratch_ / "used");
  fs::copy(scratch_ / "made", scratch_ / "used", fs::copy_options::recursive);
  return std::make_shared<Engine>(scratch_ / "used", EngineOptions{});
}

const KnownValues& known_values() {
  static const KnownValues known = [] {
    KnownValues made;
    made.numbers = {0,
                    1,
                    2,
                    3,
                    4,
                    7,
                    10,
                    13,
                    16,
                    100,
                    0x7FFFFFFF,
                    0xFFFFFFFF,
                    ~std::uint64_t{0},
                    std::uint64_t{1} << 63,
                    std::uint64_t{1} << 60};
    made.texts = {"", "{}", "float32", "uint8", "odd name"};
    for (std::uint64_t layer = 0; layer < 6; ++layer) {
      const std::uint64_t hash = testing::sample_hash(layer, 0);
      made.numbers.push_back(layer_key(hash, 0));
      made.texts.push_back(format_layer_name("Dense", hash, 0));
    }
    return made;
  }();
  return known;
}

}  // namespace parsl_tl::fuzz
