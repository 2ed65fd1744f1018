#include "checksum_kernel.hpp"

namespace parsl_tl {
PARSL_TL_CHECKSUM_KERNEL(kChecksumAvx2, "avx2");
}  // namespace parsl_tl
