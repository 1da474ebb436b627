#include <fatwood/kernels/table.h>

namespace fatwood::kernels {

extern const KernelTable kPortableTable;
#if defined(__x86_64__)
extern const KernelTable kAvx2Table;
extern const KernelTable kAvx512Table;
#endif

const KernelTable& table_for(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx512:
      return kAvx512Table;
    case Isa::avx2:
      return kAvx2Table;
#endif
    default:
      return kPortableTable;
  }
}

}  // namespace fatwood::kernels
