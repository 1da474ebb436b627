// The kernels, compiled for the instruction set "avx2" (flags in CMakeLists.txt).
#include <fatwood/kernels/simd/table.h>

namespace fatwood::kernels {

extern const KernelTable kAvx2Table;
constinit const KernelTable kAvx2Table = make_table();

}  // namespace fatwood::kernels
