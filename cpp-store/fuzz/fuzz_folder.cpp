// FORMAT and intent files.
#include <cstdlib>
#include <string>

#include "folder.hpp"
#include "intent.hpp"
#include "wrap.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parsl_tl;
  fuzz::answer([&] {
    const std::string text(reinterpret_cast<const char*>(data), size);
    const Format format = parse_format(text, "a store");
    if (parse_format(format_text(format), "a store") != format) std::abort();
  });
  fuzz::answer([&] {
    const fuzz::MemoryFile file({data, size});
    Intent intent(file.path());
    const auto pending = intent.pending();
    if (pending.size() > size / 8) std::abort();
    intent.declare(pending);
    if (intent.pending() != pending) std::abort();
    intent.clear();
    if (!intent.pending().empty()) std::abort();
  });
  return 0;
}
