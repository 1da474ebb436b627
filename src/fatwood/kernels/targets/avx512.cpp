// The kernels, compiled for the instruction set "avx512" (flags in CMakeLists.txt).
#include <fatwood/kernels/simd/table.h>

namespace fatwood::kernels {

extern const KernelTable kAvx512Table;
constinit const KernelTable kAvx512Table = make_table();

}  // namespace fatwood::kernels
