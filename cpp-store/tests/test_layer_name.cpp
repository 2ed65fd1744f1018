// Layer names and keys say the same.
#include "check.hpp"
#include "layer_name.hpp"
#include "random.hpp"

namespace parsl_tl::testing {
namespace {

CASE(layer_name_round_trip) {
  Random random(3);
  for (const std::string class_name : {"Dense", "", "_", "Multi_Head", "a_0123456789abcdef"}) {
    for (int i = 0; i < 200; ++i) {
      const std::uint64_t hash = random.chance(0.1) ? random.below(3) : random();
      const std::uint64_t twin = random.chance(0.5) ? 0 : random.below(100000);
      const std::string name = format_layer_name(class_name, hash, twin);
      const auto parsed = parse_layer_name(name);
      CHECK(parsed);
      if (!parsed) continue;
      CHECK_EQ(parsed->class_name, class_name);
      CHECK_EQ(parsed->prefix_hash, hash);
      CHECK_EQ(parsed->twin, twin);
    }
  }
}

CASE(layer_name_refuses) {
  for (const char* name :
       {"", "_", "Dense", "Dense_", "Dense_0123456789abcde", "Dense_0123456789abcdeg",
        "Dense_0123456789ABCDEF", "Dense0123456789abcdef", "0123456789abcdef",
        "Dense_0123456789abcdef_", "Dense_0123456789abcdef_0", "Dense_0123456789abcdef_01",
        "Dense_0123456789abcdef_-1", "Dense_0123456789abcdef_+1", "Dense_0123456789abcdef_1x",
        "Dense_0123456789abcdef_99999999999999999999", "Dense_0123456789abcdef_1_1"}) {
    CHECK(!parse_layer_name(name));
  }
}

CASE(layer_key_of_twins_differ) {
  CHECK_EQ(layer_key(7, 0), 7U);
  CHECK(layer_key(7, 1) != layer_key(7, 2));
  CHECK(layer_key(7, 1) != layer_key(8, 1));
}

}  // namespace
}  // namespace parsl_tl::testing
