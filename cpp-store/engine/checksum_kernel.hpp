// One instruction set's XXH3, as a table of functions. Included by one source file for each set,
// which is compiled with that set's flags; nothing else may be included there, or code for a newer
// CPU could leak into functions that all share.
#pragma once

#define XXH_INLINE_ALL
#include <arrow/vendored/xxhash.h>

namespace parsl_tl {

struct ChecksumKernel {
  const char* name;
  XXH64_hash_t (*whole)(const void*, size_t);
  void (*reset)(void*);
  void (*update)(void*, const void*, size_t);
  XXH64_hash_t (*digest)(const void*);
};

#define PARSL_TL_CHECKSUM_KERNEL(symbol, label)                                     \
  const ChecksumKernel symbol = {                                                   \
      label, [](const void* data, size_t size) { return XXH3_64bits(data, size); }, \
      [](void* state) { XXH3_64bits_reset(static_cast<XXH3_state_t*>(state)); },    \
      [](void* state, const void* data, size_t size) {                              \
        XXH3_64bits_update(static_cast<XXH3_state_t*>(state), data, size);          \
      },                                                                            \
      [](const void* state) {                                                       \
        return XXH3_64bits_digest(static_cast<const XXH3_state_t*>(state));         \
      }}

extern const ChecksumKernel kChecksumGeneric;
#if defined(__x86_64__)
extern const ChecksumKernel kChecksumAvx2;
extern const ChecksumKernel kChecksumAvx512;
#endif

}  // namespace parsl_tl
