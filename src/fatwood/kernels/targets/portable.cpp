// The kernels, compiled for the instruction set "portable" (flags in CMakeLists.txt).
#include <fatwood/kernels/simd/table.h>

namespace fatwood::kernels {

extern const KernelTable kPortableTable;
constinit const KernelTable kPortableTable = make_table();

}  // namespace fatwood::kernels
