// Layer names: what parses is what formatting gives.
#include <cstdlib>

#include "layer_name.hpp"
#include "wrap.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parsl_tl;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto name = parse_layer_name(text)) {
    if (format_layer_name(name->class_name, name->prefix_hash, name->twin) != text) std::abort();
    layer_key(name->prefix_hash, name->twin);
  }
  return 0;
}
