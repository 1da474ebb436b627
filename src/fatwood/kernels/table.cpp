#include <fatwood/kernels/table.h>

namespace fatwood::kernels {

extern const KernelTable kPortableTable;
extern const LayerKernels kPortableBf16Layers;
#if defined(__x86_64__) && !defined(FATWOOD_PORTABLE_KERNELS)
extern const KernelTable kAvx2Table;
extern const KernelTable kAvx512Table;
extern const LayerKernels kAvx2Bf16Layers;
extern const LayerKernels kAvx512EmulatedBf16Layers;
extern const LayerKernels kAvx512Bf16Layers;
#endif

const KernelTable& table_for(Isa isa) {
  switch (isa) {
#if defined(__x86_64__) && !defined(FATWOOD_PORTABLE_KERNELS)
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
  if (precision == Precision::f32) return table_for(isa).layers;
  switch (isa) {
#if defined(__x86_64__) && !defined(FATWOOD_PORTABLE_KERNELS)
    case Isa::avx512_bf16:
      return kAvx512Bf16Layers;
    case Isa::avx512:
      return kAvx512EmulatedBf16Layers;
    case Isa::avx2:
      return kAvx2Bf16Layers;
#endif
    default:
      return kPortableBf16Layers;
  }
}

}  // namespace fatwood::kernels
