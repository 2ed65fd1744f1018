// Templates filled with names; arrays that do not fit them are refused.
#include "check.hpp"
#include "errors.hpp"
#include "keras_json_lines.hpp"
#include "random.hpp"

namespace parsl_tl::testing {
namespace {

KerasJsonLines make_lines() {
  std::vector<LayerTemplate> layers;
  layers.push_back({"In", {{"<", ">"}, {kOwnName}}});
  layers.push_back({"Dense", {{"", "(", ")"}, {kOwnName, 0}}});
  layers.push_back({"Add", {{"", "(", "+", ")"}, {kOwnName, 0, 1}}});
  return {std::move(layers), "[", {{"] ", " -> ", ""}, {0, -1}}};
}

struct Arrays {
  std::vector<std::int64_t> layer_starts{0, 4, 5};
  std::vector<std::uint64_t> hashes{1, 2, 2, 3, 1};
  std::vector<std::uint32_t> templates{0, 1, 1, 2, 0};
  std::vector<std::int64_t> edge_starts{0, 4, 4};
  std::vector<std::uint32_t> edges{0, 1, 0, 2, 1, 3, 2, 3};

  LayerBatch batch() const { return {layer_starts, hashes, templates, edge_starts, edges}; }
};

bool is_refused(const LayerBatch& batch) {
  try {
    make_lines().write(batch);
  } catch (const StoreException& error) {
    return error.code() == ErrorCode::kInvalidValue;
  }
  return false;
}

CASE(keras_json_lines_fill_in_names) {
  const std::string in = "In_0000000000000001";
  const std::string dense = "Dense_0000000000000002";
  const std::string add = "Add_0000000000000003";
  std::string expected("[<");
  expected.append(in).append(">, ");
  expected.append(dense).append("(").append(in).append("), ");
  expected.append(dense).append("_1(").append(in).append("), ");
  expected.append(add).append("(").append(dense).append("+").append(dense).append("_1)] ");
  expected.append(in).append(" -> ").append(add).append("\n");
  expected.append("[<").append(in).append(">] ").append(in).append(" -> ").append(in).append("\n");
  CHECK_EQ(make_lines().write(Arrays().batch()), expected);
  const std::vector<std::int64_t> none{0};
  CHECK_EQ(make_lines().write({none, {}, {}, none, {}}), "");
}

CASE(keras_json_lines_refuse) {
  const auto refused = [](auto change) {
    Arrays arrays;
    change(arrays);
    CHECK(is_refused(arrays.batch()));
  };
  refused([](Arrays& a) { a.templates[1] = 3; });  // no such template
  refused([](Arrays& a) { a.templates[1] = 2; });  // which has two inputs
  refused([](Arrays& a) { a.templates.pop_back(); });
  refused([](Arrays& a) { a.layer_starts = {0, 5, 4}; });
  refused([](Arrays& a) { a.layer_starts = {0, 4, 6}; });
  refused([](Arrays& a) { a.layer_starts = {0, 0, 5}; });  // a model without layers
  refused([](Arrays& a) { a.edge_starts = {0, 3, 4}; });
  refused([](Arrays& a) { a.edges.pop_back(); });
  refused([](Arrays& a) { a.edges[0] = 4; });  // of another model
  refused([](Arrays& a) { std::swap(a.edges[1], a.edges[5]); });
  bool thrown = false;
  try {
    KerasJsonLines({}, "", {{"one piece"}, {0}});
  } catch (const StoreException&) {
    thrown = true;
  }
  CHECK(thrown);
}

CASE(keras_json_lines_survive_garbage) {
  Random random(5);
  for (int i = 0; i < 2000; ++i) {
    Arrays arrays;
    const auto spoil = [&](auto& values) {
      using Value = std::remove_reference_t<decltype(values.front())>;
      if (random.chance(0.3)) values.resize(random.below(values.size() + 3));
      for (Value& value : values) {
        if (random.chance(0.1)) value = static_cast<Value>(random.below(8));
        if (random.chance(0.02)) value = static_cast<Value>(random());
      }
    };
    spoil(arrays.layer_starts);
    spoil(arrays.hashes);
    spoil(arrays.templates);
    spoil(arrays.edge_starts);
    spoil(arrays.edges);
    try {
      make_lines().write(arrays.batch());
    } catch (const StoreException&) {
      continue;
    }
  }
}

}  // namespace
}  // namespace parsl_tl::testing
