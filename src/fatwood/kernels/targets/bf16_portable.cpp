// The bf16 kernels for the instruction set "portable", which has no dot product of them:
// emulated, for checking rather than for speed.
#include <fatwood/kernels/simd/bf16_table.h>

namespace fatwood::kernels {

extern const LayerKernels kPortableBf16Layers;
constinit const LayerKernels kPortableBf16Layers = make_bf16_layers();

}  // namespace fatwood::kernels
