#include <fatwood/kernels/table.h>

namespace fatwood::kernels {

extern const KernelTable kPortableTable;
#if defined(__x86_64__)
extern const KernelTable kAvx2Table;
extern const KernelTable kAvx512Table;
extern const LayerKernels kAvx512Bf16Layers;
#endif

const KernelTable& table_for(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx512_bf16:  // its own instructions serve bf16 alone
    case Isa::avx512:
      return kAvx512Table;
    case Isa::avx2:
      return kAvx2Table;
#endif
    default:
      return kPortableTable;
  }
}

const LayerKernels& layer_kernels_for(Isa isa, Precision precision) {
#if defined(__x86_64__)
  if (isa == Isa::avx512_bf16 && precision == Precision::bf16) return kAvx512Bf16Layers;
#endif
  const KernelTable& table = table_for(isa);
  return precision == Precision::bf16 ? table.bf16_layers : table.layers;
}

}  // namespace fatwood::kernels
