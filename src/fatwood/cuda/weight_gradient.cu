// The gradient of a convolution's weights, by the tiles and patches of convolution.cu.

constexpr unsigned kOne = 0x3f800000;  // 1.0F

// A stride of rows of slopes at which a warp's reads of a fragment fall on different banks.
__device__ constexpr int slope_stride(int columns) { return columns + 8; }

// partials[block][out][tap·channels + channel] = Σ over the block's tiles' rows of dy(row, out)·
// source(row, tap, channel), and with `bias`, for which kEach must be 1, one more a row, the sum of
// dy(row, out); outs at most 16·kMatrices, taps·channels with that one at most 32·kEach. A block takes
// every gridDim.x-th tile; a warp has every fourth eight of the products.
template <class T, int kMatrices, int kEach>
__device__ void weight_gradient_tiles(const T* __restrict__ source, const T* __restrict__ dy,
                                      const Gathering& g, int images, int outs, int out_quads,
                                      int bias, float* __restrict__ partials) {
  constexpr int kStride = slope_stride(16 * kMatrices);
  alignas(16) __shared__ unsigned slopes[8 * kGroups * kStride];
  FATWOOD_PATCH;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = lane / 4, k = lane % 4;
  const int across = g.tile_w / 8, groups = across * g.tile_h;
  const int products = g.taps * g.channels, tiles = images * g.tiles_y * g.tiles_x;
  const int all = products + bias;
  const PatchShare share(g);
  int offsets[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) offsets[i] = offset_of(g, 8 * (warp + 4 * i) + column);
  const bool one = kEach == 1 && bias && 8 * warp + column == products;  // a product with 1
  float sums[kMatrices][kEach][4] = {};
  for (int index = blockIdx.x; index < tiles; index += gridDim.x) {
    const Tile tile(g, index);
    const T* slope = dy + (i64)tile.image * g.row_h * g.row_w * outs;
    __syncthreads();
    copy_patch(source, g, tile, share, patch);
    const int each = out_quads ? 4 : 1;
#pragma unroll 4
    for (int e = threadIdx.x; e < 8 * groups * 16 * kMatrices / each; e += kConvThreads) {
      const int row = out_quads ? e / (4 * kMatrices) : e / (16 * kMatrices);
      const int out = e * each % (16 * kMatrices), in_tile = quotient(row, g.tile_w);
      const int y = tile.y + in_tile, x = tile.x + row - in_tile * g.tile_w;
      const bool inside = y < g.row_h && x < g.row_w && out < outs;
      const int from = inside ? (y * g.row_w + x) * outs + out : 0;
      unsigned* to = &slopes[row * kStride + out];
      if (out_quads) {
        const float4 v = load4(slope + from);
        *(uint4*)to = inside ? to_tf32(v) : make_uint4(0, 0, 0, 0);
      } else {
        const float v = load_at(slope, from);
        *to = inside ? to_tf32(v) : 0;
      }
    }
    __syncthreads();
    const int row_step = (g.patch_w - across * 8) * g.mul * g.pitch;
    const int near_step = 8 * g.mul * g.pitch, far = 4 * g.mul * g.pitch;
    int near = k * g.mul * g.pitch, left = across;
    for (int group = 0; group < groups; ++group) {
      unsigned a[kMatrices][4];
#pragma unroll
      for (int m = 0; m < kMatrices; ++m) {
        const unsigned* corner = &slopes[(8 * group + k) * kStride + 16 * m + column];
        a[m][0] = corner[0];
        a[m][1] = corner[8];
        a[m][2] = corner[4 * kStride];
        a[m][3] = corner[4 * kStride + 8];
      }
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const unsigned* from = &patch[near + offsets[i]];
        const unsigned b0 = one ? kOne : from[0], b1 = one ? kOne : from[far];
#pragma unroll
        for (int m = 0; m < kMatrices; ++m) multiply(sums[m][i], a[m], b0, b1);
      }
      near += near_step;
      if (--left == 0) {
        left = across;
        near += row_step;
      }
    }
  }
#pragma unroll
  for (int m = 0; m < kMatrices; ++m) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int out = 16 * m + 8 * (j / 2) + column;
        const int product = 8 * (warp + 4 * i) + 2 * k + j % 2;
        if (out < outs && product < all)
          partials[((i64)blockIdx.x * outs + out) * all + product] = sums[m][i][j];
      }
    }
  }
}

#ifdef FATWOOD_MODULE_BASE

// The sums of partials[split][row][column] over the splits, in a fixed order: `columns` of each row to
// out, and one more of each to `rest`, where there is one. 32 × 32 threads, the first 32 neighbours.
extern "C" __global__ void sum_splits(const float* partials, int splits, int count, int columns,
                                      float* out, float* rest) {
  __shared__ float sums[32][33];
  const int i = blockIdx.x * 32 + threadIdx.x % 32, share = threadIdx.x / 32;
  float sum = 0;
  if (i < count) {
#pragma unroll 8
    for (int s = share; s < splits; s += 32) sum += partials[(i64)s * count + i];
  }
  sums[share][threadIdx.x % 32] = sum;
  __syncthreads();
  if (share > 0 || i >= count) return;
  for (int s = 1; s < 32; ++s) sum += sums[s][threadIdx.x];
  const int all = columns + (rest ? 1 : 0), row = i / all, column = i - row * all;
  if (column < columns) {
    out[row * columns + column] = sum;
  } else {
    rest[row] = sum;
  }
}

#endif

#define FATWOOD_WEIGHT_GRADIENT(suffix, T, matrices, each)                                         \
  extern "C" __global__ void __launch_bounds__(128)                                                \
      weight_gradient_##matrices##_##each##_##suffix(const T* source, const T* dy,                 \
                                                     const __grid_constant__ Gathering g,          \
                                                     int images, int channels, int out_quads,      \
                                                     int bias, float* partials) {                  \
    weight_gradient_tiles<T, matrices, each>(source, dy, g, images, channels, out_quads, bias,     \
                                             partials);                                            \
  }
#define FATWOOD_WEIGHT_GRADIENTS(suffix, T, matrices) \
  FATWOOD_WEIGHT_GRADIENT(suffix, T, matrices, 1)     \
  FATWOOD_WEIGHT_GRADIENT(suffix, T, matrices, 3)     \
  FATWOOD_WEIGHT_GRADIENT(suffix, T, matrices, 5)     \
  FATWOOD_WEIGHT_GRADIENT(suffix, T, matrices, 7)     \
  FATWOOD_WEIGHT_GRADIENT(suffix, T, matrices, 9)

#ifdef FATWOOD_MODULE_CONVOLUTION_F32
FATWOOD_WEIGHT_GRADIENTS(f32, float, 1)
FATWOOD_WEIGHT_GRADIENTS(f32, float, 2)
#endif
#ifdef FATWOOD_MODULE_CONVOLUTION_BF16
FATWOOD_WEIGHT_GRADIENTS(bf16, unsigned short, 1)
FATWOOD_WEIGHT_GRADIENTS(bf16, unsigned short, 2)
#endif
