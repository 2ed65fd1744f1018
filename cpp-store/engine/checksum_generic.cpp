#include "checksum_kernel.hpp"

namespace parsl_tl {
PARSL_TL_CHECKSUM_KERNEL(kChecksumGeneric, "generic");
}  // namespace parsl_tl
