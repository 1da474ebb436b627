// The bf16 kernels, compiled for the instruction set "avx512_bf16" (flags in CMakeLists.txt). Its
// f32 kernels are those of "avx512", so that f32 has the same bits on both.
#include <fatwood/kernels/simd/bf16_table.h>

namespace fatwood::kernels {

extern const LayerKernels kAvx512Bf16Layers;
constinit const LayerKernels kAvx512Bf16Layers = make_bf16_layers();

}  // namespace fatwood::kernels
