// Winograd's minimal filtering F(4×4, 3×3) for 3×3 convolutions of stride 1: a tile of 4×4 outputs
// takes 36 products a channel pair where the direct sum takes 144,
//     Y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ d B)]A,
// and its weight gradient is G^T[(A dY Aᵀ) ⊙ (Bᵀ d B)]G, summed over tiles. With images in the
// lanes the transforms are plain vector arithmetic. A product of transforms is called a point.
// Source: Lavin, Gray, "Fast algorithms for convolutional neural networks", with the points 0,
// ±1/√2, ±√2, ∞ instead of 0, ±1, ±2, ∞: they halve the rounding error, to twice the direct sum's.
#pragma once

#include <cstdint>

#include <fatwood/kernels/packing.h>
#include <fatwood/kernels/parallel.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {

/// Whether Winograd's way is taken: 3×3, stride 1, enough channels to pay for the transforms, and
/// an image that fills its tiles.
bool winograd_pays(const ConvShape& conv);

/// Whether its weight gradient is, too: sums of all 36 points must stay in the caches.
bool winograd_gradient_pays(const ConvShape& conv, int lanes);

/// Sizes of a weight gradient's job; no pointers, one vector of output channels at a time.
WinogradGradient winograd_gradient_job(const ConvShape& conv, int lanes);

/// Floats of the packed weights, and of what a thread needs beside them to correlate one group.
std::int64_t winograd_weights_size(int inputs, int outputs);
std::int64_t winograd_scratch_size(int inputs, int outputs, int lanes);

/// weight (O, I, 3, 3) → packed G w Gᵀ, multiplied by scale (I) or by 1 when it is null: for 16
/// lanes (6, ⌈O/4⌉, I, 6, 4), by row of the points, for fewer (⌈O/4⌉, 36, I, 4).
void pack_winograd(const ConvShape& conv, int lanes, const float* weight, const float* scale,
                   float* packed, const ParallelFor& parallel);

/// The same for the input gradient: O and I exchanged, taps in reverse order.
void pack_winograd_gradient(const ConvShape& conv, int lanes, const float* weight, float* packed,
                            const ParallelFor& parallel);

/// sums (36, I, outputs) of each part → taps (9, outputs) = Gᵀ(Σ parts)G of input channel c.
void winograd_taps(const float* const* sums, int parts, int inputs, int outputs, int c,
                   float* taps);

}  // namespace fatwood::kernels
