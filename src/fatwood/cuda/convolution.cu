// Convolutions of few channels on the tensor cores, in TF32 (the precision in which LibTorch convolves
// floats by default) with sums in float. Values are (N, H, W, C), weights (out, taps, in), both the
// channels-last order of LibTorch; bfloat16 is widened when it is read, which TF32 holds exactly.
//
// A block takes a tile of one image: the pixels that it needs of the source come to shared memory once,
// and every tap reads them there, at an offset.

constexpr int kConvThreads = 128;
constexpr int kMostTaps = 49;
constexpr int kGroups = 16;  // of eight neighbouring pixels, four a warp

struct Tap {
  signed char dy, dx;
  short weight;  // its place among the taps of the weights
};

// What a convolution reads for the row (n, y, x) and the tap t: source (n, mul·y + dy[t], mul·x + dx[t]).
// The row's result goes to the pixel (n, out_mul·y + out_y, out_mul·x + out_x). A tile is tile_h × tile_w
// rows, tile_w a multiple of eight; its patch of the source, patch_h × patch_w pixels of `pitch` values,
// begins at (mul·y + min_dy, mul·x + min_dx) of the tile's first row.
struct Gathering {
  int row_h, row_w, mul;
  int height, width, channels;  // of the source
  int out_mul, out_y, out_x;
  int tile_h, tile_w, tiles_y, tiles_x;
  int min_dy, min_dx, patch_h, patch_w, pitch;
  int quads;  // whether four channels are read at a time
  int taps;
  Tap tap[kMostTaps];
};

// The parts of a convolution whose rows have taps of their own, one a blockIdx.z.
struct Gatherings {
  Gathering part[4];
};

// To the nearest of 10 bits, ties away from zero: the tensor cores read no more of it. By integers,
// since the instruction for it goes at a quarter of their rate; what is not finite stays as it is.
__device__ unsigned to_tf32(float x) {
  const unsigned bits = __float_as_uint(x);
  return (bits & 0x7f800000) == 0x7f800000 ? bits : bits + 0x1000;
}

__device__ uint4 to_tf32(float4 v) {
  return make_uint4(to_tf32(v.x), to_tf32(v.y), to_tf32(v.z), to_tf32(v.w));
}

#ifndef FATWOOD_EMULATED
// d += a·b for a of 16 × 8, b of 8 × 8. Lane l has of a rows l/4 and l/4 + 8, columns l%4 and l%4 + 4;
// of b rows l%4 and l%4 + 4, column l/4; of d rows l/4 and l/4 + 8, columns 2(l%4) and the next.
__device__ void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Memory whose size the launch says.
#define FATWOOD_PATCH extern __shared__ __align__(16) unsigned patch[]
#endif

__device__ float4 load4(const float* x) { return *(const float4*)x; }
__device__ float4 load4(const unsigned short* x) {
  const ushort4 v = *(const ushort4*)x;
  return make_float4(__uint_as_float((unsigned)v.x << 16), __uint_as_float((unsigned)v.y << 16),
                     __uint_as_float((unsigned)v.z << 16), __uint_as_float((unsigned)v.w << 16));
}

// a / b of numbers below 2^24, where floats are exact and their quotient is off by one at most.
__device__ int quotient(int a, int b) {
  const int q = (int)__fdividef((float)a, (float)b), rest = a - q * b;
  return rest < 0 ? q - 1 : rest >= b ? q + 1 : q;
}

struct Tile {
  int image, y, x;  // of its first row
  __device__ Tile(const Gathering& g, int index) {
    const int per_image = g.tiles_y * g.tiles_x;
    image = index / per_image;
    const int rest = index - image * per_image;
    y = rest / g.tiles_x * g.tile_h;
    x = rest % g.tiles_x * g.tile_w;
  }
};

// Copies a tile's patch; pixels outside the source are zeros.
template <class T>
__device__ void copy_patch(const T* __restrict__ source, const Gathering& g, const Tile& tile,
                           unsigned* patch) {
  const int y0 = g.mul * tile.y + g.min_dy, x0 = g.mul * tile.x + g.min_dx;
  const int each = g.quads ? 4 : 1, parts = g.channels / each;
  const int count = g.patch_h * g.patch_w * parts;
#pragma unroll 4
  for (int e = threadIdx.x; e < count; e += kConvThreads) {
    const int pixel = quotient(e, parts), channel = (e - pixel * parts) * each;
    const int row = quotient(pixel, g.patch_w), y = y0 + row, x = x0 + pixel - row * g.patch_w;
    const bool inside = (unsigned)y < (unsigned)g.height && (unsigned)x < (unsigned)g.width;
    const i64 from =
        inside ? ((i64)(tile.image * g.height + y) * g.width + x) * g.channels + channel : 0;
    if (g.quads) {
      const float4 v = load4(source + from);
      *(uint4*)&patch[pixel * g.pitch + channel] = inside ? to_tf32(v) : make_uint4(0, 0, 0, 0);
    } else {
      const float v = load_at(source, from);
      patch[pixel * g.pitch + channel] = inside ? to_tf32(v) : 0;
    }
  }
}

// Where in a patch the product (tap, channel) lies, from a row's first pixel.
__device__ int offset_of(const Gathering& g, int product) {
  const int tap = quotient(product, g.channels);
  if (tap >= g.taps) return 0;
  return ((g.tap[tap].dy - g.min_dy) * g.patch_w + g.tap[tap].dx - g.min_dx) * g.pitch + product -
         tap * g.channels;
}

constexpr int kDepth = 96;  // products whose weights are in shared memory at a time

// Strides at which a warp's reads of a fragment of columns fall on different banks.
__host__ __device__ constexpr int column_stride(int columns) {
  return columns % 16 == 8 ? columns : columns + 8;
}

// out(row, c) = Σ over taps and channels of source(row, tap, channel)·weights[c·w_out + channel·w_in +
// tap.weight·w_tap], plus bias[c] where there is one; out is images of out_h × out_w × columns, and
// columns at most 8·kBlocks. A block a tile.
template <class T, int kBlocks>
__device__ void convolve_tile(const T* __restrict__ source, const float* __restrict__ weights,
                              const float* __restrict__ bias, const Gathering& g, int images,
                              int columns, int w_out, int w_in, int w_tap, int out_h, int out_w,
                              T* __restrict__ out) {
  constexpr int kStride = column_stride(8 * kBlocks);
  __shared__ unsigned factors[kDepth * kStride];
  __shared__ int offsets[kDepth];
  FATWOOD_PATCH;
  if (blockIdx.x >= images * g.tiles_y * g.tiles_x) return;
  const Tile tile(g, blockIdx.x);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, in_group = lane / 4, k = lane % 4;
  const int across = g.tile_w / 8, groups = across * g.tile_h;
  const int products = g.taps * g.channels;
  int corners[4];  // of the lane's pixels in the warp's groups
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int group = 4 * warp + i, row = group / across, x = group % across * 8 + in_group;
    corners[i] = group < groups ? (row * g.mul * g.patch_w + x * g.mul) * g.pitch : 0;
  }
  copy_patch(source, g, tile, patch);
  float sums[2][kBlocks][4] = {};
  for (int first = 0; first < products; first += kDepth) {
    __syncthreads();
    for (int e = threadIdx.x; e < kDepth * 8 * kBlocks; e += kConvThreads) {
      const int c = e / kDepth, depth = e % kDepth, product = first + depth;
      const int tap = quotient(product, g.channels);
      const bool inside = tap < g.taps && c < columns;
      const float w = weights[inside ? c * w_out + (product - tap * g.channels) * w_in +
                                           g.tap[tap].weight * w_tap
                                     : 0];
      factors[depth * kStride + c] = inside ? to_tf32(w) : 0;
    }
    if (threadIdx.x < kDepth) offsets[threadIdx.x] = offset_of(g, first + threadIdx.x);
    __syncthreads();
    const int depth = products - first < kDepth ? products - first : kDepth;
#pragma unroll 2
    for (int d = 0; d < depth; d += 8) {
      const int near = offsets[d + k], far = offsets[d + k + 4];
      unsigned a[2][4];
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        a[m][0] = patch[corners[2 * m] + near];
        a[m][1] = patch[corners[2 * m + 1] + near];
        a[m][2] = patch[corners[2 * m] + far];
        a[m][3] = patch[corners[2 * m + 1] + far];
      }
#pragma unroll
      for (int n = 0; n < kBlocks; ++n) {
        const unsigned* corner = &factors[(d + k) * kStride + 8 * n + in_group];
#pragma unroll
        for (int m = 0; m < 2; ++m) multiply(sums[m][n], a[m], corner[0], corner[4 * kStride]);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int group = 4 * warp + i;
    const int y = tile.y + group / across, x = tile.x + group % across * 8 + in_group;
    if (group >= groups || y >= g.row_h || x >= g.row_w) continue;
    const i64 pixel = ((i64)tile.image * out_h + g.out_mul * y + g.out_y) * out_w + g.out_mul * x +
                      g.out_x;
#pragma unroll
    for (int n = 0; n < kBlocks; ++n) {
#pragma unroll
      for (int side = 0; side < 2; ++side) {
        const int c = 8 * n + 2 * k + side;
        if (c < columns) {
          store_at(out, pixel * columns + c,
                   sums[i / 2][n][2 * (i % 2) + side] + (bias ? bias[c] : 0));
        }
      }
    }
  }
}

// partials[block][out][tap·channels + channel] = Σ over the block's tiles' rows of dy(row, out)·
// source(row, tap, channel); outs at most 16·kMatrices, taps·channels at most 32·kEach. A block takes
// every gridDim.x-th tile; a warp has every fourth eight of the products.
template <class T, int kMatrices, int kEach>
__device__ void weight_gradient_tiles(const T* __restrict__ source, const T* __restrict__ dy,
                                      const Gathering& g, int images, int outs,
                                      float* __restrict__ partials) {
  constexpr int kStride = column_stride(16 * kMatrices);
  __shared__ unsigned slopes[8 * kGroups * kStride];
  FATWOOD_PATCH;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = lane / 4, k = lane % 4;
  const int across = g.tile_w / 8, groups = across * g.tile_h;
  const int products = g.taps * g.channels, tiles = images * g.tiles_y * g.tiles_x;
  int offsets[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) offsets[i] = offset_of(g, 8 * (warp + 4 * i) + column);
  float sums[kMatrices][kEach][4] = {};
  for (int index = blockIdx.x; index < tiles; index += gridDim.x) {
    const Tile tile(g, index);
    __syncthreads();
    copy_patch(source, g, tile, patch);
#pragma unroll 4
    for (int e = threadIdx.x; e < 8 * groups * 16 * kMatrices; e += kConvThreads) {
      const int row = e / (16 * kMatrices), out = e % (16 * kMatrices);
      const int in_tile = quotient(row, g.tile_w);
      const int y = tile.y + in_tile, x = tile.x + row - in_tile * g.tile_w;
      const bool inside = y < g.row_h && x < g.row_w && out < outs;
      const float v =
          load_at(dy, inside ? ((i64)(tile.image * g.row_h + y) * g.row_w + x) * outs + out : 0);
      slopes[row * kStride + out] = inside ? to_tf32(v) : 0;
    }
    __syncthreads();
    for (int group = 0; group < groups; ++group) {
      const int row = group / across, x = group % across * 8 + k;
      const int near = (row * g.mul * g.patch_w + x * g.mul) * g.pitch;
      const int far = near + 4 * g.mul * g.pitch;
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
        const unsigned b0 = patch[near + offsets[i]], b1 = patch[far + offsets[i]];
#pragma unroll
        for (int m = 0; m < kMatrices; ++m) multiply(sums[m][i], a[m], b0, b1);
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
        if (out < outs && product < products)
          partials[((i64)blockIdx.x * outs + out) * products + product] = sums[m][i][j];
      }
    }
  }
}

// out[i] = Σ over splits of partials[split·count + i], in a fixed order. 32 × 32 threads, the first 32
// neighbours in i.
extern "C" __global__ void sum_splits(const float* partials, int splits, int count, float* out) {
  __shared__ float sums[32][33];
  const int i = blockIdx.x * 32 + threadIdx.x % 32, share = threadIdx.x / 32;
  float sum = 0;
  if (i < count) {
#pragma unroll 4
    for (int s = share; s < splits; s += 32) sum += partials[(i64)s * count + i];
  }
  sums[share][threadIdx.x % 32] = sum;
  __syncthreads();
  if (share > 0 || i >= count) return;
  for (int s = 1; s < 32; ++s) sum += sums[s][threadIdx.x];
  out[i] = sum;
}

#define FATWOOD_CONVOLVE(suffix, T, blocks)                                                        \
  extern "C" __global__ void __launch_bounds__(128) convolve_##blocks##_##suffix(                  \
      const T* source, const float* weights, const float* bias,                                    \
      const __grid_constant__ Gatherings g, int images, int channels, int w_out, int w_in,         \
      int w_tap, int out_h, int out_w, T* out) {                                                   \
    convolve_tile<T, blocks>(source, weights, bias, g.part[blockIdx.z], images, channels, w_out,   \
                             w_in, w_tap, out_h, out_w, out);                                      \
  }
#define FATWOOD_WEIGHT_GRADIENT(suffix, T, matrices, each)                                         \
  extern "C" __global__ void __launch_bounds__(128)                                                \
      weight_gradient_##matrices##_##each##_##suffix(const T* source, const T* dy,                 \
                                                     const __grid_constant__ Gathering g,          \
                                                     int images, int channels, float* partials) {  \
    weight_gradient_tiles<T, matrices, each>(source, dy, g, images, channels, partials);           \
  }
#define FATWOOD_CONVOLUTIONS(suffix, T)    \
  FATWOOD_CONVOLVE(suffix, T, 1)           \
  FATWOOD_CONVOLVE(suffix, T, 2)           \
  FATWOOD_CONVOLVE(suffix, T, 4)           \
  FATWOOD_WEIGHT_GRADIENT(suffix, T, 1, 3) \
  FATWOOD_WEIGHT_GRADIENT(suffix, T, 1, 7) \
  FATWOOD_WEIGHT_GRADIENT(suffix, T, 1, 9) \
  FATWOOD_WEIGHT_GRADIENT(suffix, T, 2, 3) \
  FATWOOD_WEIGHT_GRADIENT(suffix, T, 2, 7) \
  FATWOOD_WEIGHT_GRADIENT(suffix, T, 2, 9)

#ifdef FATWOOD_MODULE_CONVOLUTION_F32
FATWOOD_CONVOLUTIONS(f32, float)
#endif
#ifdef FATWOOD_MODULE_CONVOLUTION_BF16
FATWOOD_CONVOLUTIONS(bf16, unsigned short)
#endif
