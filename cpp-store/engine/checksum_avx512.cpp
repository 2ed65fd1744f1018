#include "checksum_kernel.hpp"

namespace parsl_tl {
PARSL_TL_CHECKSUM_KERNEL(kChecksumAvx512, "avx512");
}  // namespace parsl_tl
