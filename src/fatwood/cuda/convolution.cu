// Convolutions of few channels on the tensor cores, in TF32 (the precision in which LibTorch convolves
// floats by default) with sums in float. Values are (N, H, W, C), weights (out, taps, in), both the
// channels-last order of LibTorch; bfloat16 is widened when it is read, which TF32 holds exactly.
//
// A block takes a tile of one image: the pixels that it needs of the source come to shared memory once,
// and every tap reads them there, at an offset.

using namespace fatwood::cuda;  // tiles.h

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
    image = quotient(index, per_image);
    const int rest = index - image * per_image, down = quotient(rest, g.tiles_x);
    y = down * g.tile_h;
    x = (rest - down * g.tiles_x) * g.tile_w;
  }
};

// Which of a patch's values, or quads of them, a thread copies: every kConvThreads-th. Its place moves on
// by sums alone, since dividing is slow here.
struct PatchShare {
  int parts;  // of a pixel
  int row, column, part;
  int row_step, column_step, part_step;
  __device__ PatchShare(const Gathering& g) {
    parts = g.quads ? g.channels / 4 : g.channels;
    split(threadIdx.x, g.patch_w, row, column, part);
    split(kConvThreads, g.patch_w, row_step, column_step, part_step);
  }
  __device__ void split(int value, int width, int& of_row, int& of_column, int& of_part) const {
    const int pixel = quotient(value, parts);
    of_part = value - pixel * parts;
    of_row = quotient(pixel, width);
    of_column = pixel - of_row * width;
  }
  __device__ void move_on(int width) {
    row += row_step;
    column += column_step;
    part += part_step;
    if (part >= parts) {
      part -= parts;
      ++column;
    }
    if (column >= width) {
      column -= width;
      ++row;
    }
  }
};

// Copies a tile's patch; pixels outside the source are zeros. Some reads at a time are under way.
template <class T>
__device__ void copy_patch(const T* __restrict__ source, const Gathering& g, const Tile& tile,
                           PatchShare share, unsigned* patch) {
  constexpr int kAtOnce = 4;
  const int y0 = g.mul * tile.y + g.min_dy, x0 = g.mul * tile.x + g.min_dx;
  const T* image = source + (i64)tile.image * g.height * g.width * g.channels;
  while (share.row < g.patch_h) {
    int to[kAtOnce];
    float4 values[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int channel = g.quads ? 4 * share.part : share.part;
      const int y = y0 + share.row, x = x0 + share.column;
      const bool inside = (unsigned)y < (unsigned)g.height && (unsigned)x < (unsigned)g.width;
      const int from = (y * g.width + x) * g.channels + channel;
      to[i] = share.row < g.patch_h
                  ? (share.row * g.patch_w + share.column) * g.pitch + channel
                  : -1;
      values[i] = make_float4(0, 0, 0, 0);
      if (inside && to[i] >= 0) {
        if (g.quads) {
          values[i] = load4(image + from);
        } else {
          values[i].x = load_at(image, from);
        }
      }
      share.move_on(g.patch_w);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (to[i] < 0) continue;
      if (g.quads) {
        *(uint4*)&patch[to[i]] = to_tf32(values[i]);
      } else {
        patch[to[i]] = to_tf32(values[i].x);
      }
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

// A stride of pairs of products at which a warp's reads of a fragment fall on different banks.
__device__ constexpr int pair_stride(int columns) { return 2 * columns + 8; }

// Two neighbours at once.
__device__ void store_two(float* out, i64 i, float first, float second) {
  *(float2*)(out + i) = make_float2(first, second);
}
__device__ void store_two(unsigned short* out, i64 i, float first, float second) {
  *(unsigned*)(out + i) = bf16_of(first) | (unsigned)bf16_of(second) << 16;
}

// out(row, c) = Σ over taps and channels of source(row, tap, channel)·weights[c·w_out + channel·w_in +
// tap.weight·w_tap], plus bias[c] where there is one; out is images of out_h × out_w × columns, and
// columns at most 8·kBlocks. A block takes every gridDim.x-th tile. It has the weights of `depth`
// products, a multiple of eight, in shared memory at a time, behind the patch of `patch_size` values:
// pairs of products, of each column both. Behind them stand the products' places in the patch.
//
// A product's column of the tensor cores' matrices is free to choose: a lane has two that are neighbours,
// which with kPairs lie side by side in the patch, too, as they do where the channels are even.
template <class T, int kBlocks, bool kPairs>
__device__ void convolve_tiles(const T* __restrict__ source, const float* __restrict__ weights,
                               const float* __restrict__ bias, const Gathering& g, int images,
                               int columns, int w_out, int w_in, int w_tap, int out_h, int out_w,
                               int patch_size, int depth, T* __restrict__ out) {
  constexpr int kStride = pair_stride(8 * kBlocks);
  FATWOOD_PATCH;
  unsigned* factors = patch + patch_size;
  int* offsets = (int*)(factors + depth / 2 * kStride);
  const int tiles = images * g.tiles_y * g.tiles_x;
  if (blockIdx.x >= tiles) return;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, in_group = lane / 4, k = lane % 4;
  const int across = g.tile_w / 8, groups = across * g.tile_h;
  const int products = g.taps * g.channels;
  const PatchShare share(g);
  int corners[4], rows[4], xs[4];  // of the lane's pixels in the warp's groups
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int group = 4 * warp + i, row = quotient(group, across);
    xs[i] = (group - row * across) * 8 + in_group;
    rows[i] = group < groups ? row : g.row_h;  // none
    corners[i] = group < groups ? (row * g.patch_w + xs[i]) * g.mul * g.pitch : 0;
  }
  for (int index = blockIdx.x; index < tiles; index += gridDim.x) {
    const Tile tile(g, index);
    float sums[2][kBlocks][4] = {};
    for (int first = 0; first < products; first += depth) {
      const int whole = (products - first < depth ? products - first + 7 : depth) / 8 * 8;
      __syncthreads();
      if (first == 0) copy_patch(source, g, tile, share, patch);
      if (products > depth || index == blockIdx.x) {  // else they are there
        for (int e = threadIdx.x; e < whole * 8 * kBlocks; e += kConvThreads) {
          const int c = quotient(e, whole), product = first + e - c * whole;
          const int tap = quotient(product, g.channels);
          const bool inside = tap < g.taps && c < columns;
          const float w = weights[inside ? c * w_out + (product - tap * g.channels) * w_in +
                                               g.tap[tap].weight * w_tap
                                         : 0];
          const int place = product - first;
          factors[place / 2 * kStride + 2 * c + place % 2] = inside ? to_tf32(w) : 0;
        }
        for (int e = threadIdx.x; e < whole; e += kConvThreads)
          offsets[e] = offset_of(g, first + e);
      }
      __syncthreads();
#pragma unroll 2
      for (int d = 0; d < whole; d += 8) {
        const int near = offsets[d + 2 * k], far = kPairs ? near + 1 : offsets[d + 2 * k + 1];
        uint2 a[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const unsigned* corner = &patch[corners[i]];
          a[i] = kPairs ? *(const uint2*)(corner + near) : make_uint2(corner[near], corner[far]);
        }
#pragma unroll
        for (int n = 0; n < kBlocks; ++n) {
          const uint2 b = *(const uint2*)&factors[(d / 2 + k) * kStride + 16 * n + 2 * in_group];
#pragma unroll
          for (int m = 0; m < 2; ++m) {
            const uint2 &upper = a[2 * m], &lower = a[2 * m + 1];
            multiply(sums[m][n], {upper.x, lower.x, upper.y, lower.y}, b.x, b.y);
          }
        }
      }
    }
    T* to = out + (i64)tile.image * out_h * out_w * columns;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int y = tile.y + rows[i], x = tile.x + xs[i];
      if (y >= g.row_h || x >= g.row_w) continue;
      const int pixel = (g.out_mul * y + g.out_y) * out_w + g.out_mul * x + g.out_x;
#pragma unroll
      for (int n = 0; n < kBlocks; ++n) {
        const int c = 8 * n + 2 * k;
        float* sum = &sums[i / 2][n][2 * (i % 2)];
        if (bias && c < columns) sum[0] += bias[c];
        if (bias && c + 1 < columns) sum[1] += bias[c + 1];
        if (columns % 2 == 0 && c < columns) {
          store_two(to, pixel * columns + c, sum[0], sum[1]);
        } else {
          if (c < columns) store_at(to, pixel * columns + c, sum[0]);
          if (c + 1 < columns) store_at(to, pixel * columns + c + 1, sum[1]);
        }
      }
    }
  }
}

#define FATWOOD_CONVOLVE(suffix, T, blocks, name, pairs)                                           \
  extern "C" __global__ void __launch_bounds__(128) convolve_##blocks##_##name##_##suffix(         \
      const T* source, const float* weights, const float* bias,                                    \
      const __grid_constant__ Gatherings g, int images, int channels, int w_out, int w_in,         \
      int w_tap, int out_h, int out_w, int patch_size, int depth, T* out) {                        \
    convolve_tiles<T, blocks, pairs>(source, weights, bias, g.part[blockIdx.z], images, channels,  \
                                     w_out, w_in, w_tap, out_h, out_w, patch_size, depth, out);    \
  }
#define FATWOOD_CONVOLVE_BOTH(suffix, T, blocks)      \
  FATWOOD_CONVOLVE(suffix, T, blocks, pairs, true)    \
  FATWOOD_CONVOLVE(suffix, T, blocks, singles, false)

#ifdef FATWOOD_MODULE_CONVOLUTION_F32
FATWOOD_CONVOLVE_BOTH(f32, float, 1)
FATWOOD_CONVOLVE_BOTH(f32, float, 2)
FATWOOD_CONVOLVE_BOTH(f32, float, 4)
#endif
#ifdef FATWOOD_MODULE_CONVOLUTION_BF16
FATWOOD_CONVOLVE_BOTH(bf16, unsigned short, 1)
FATWOOD_CONVOLVE_BOTH(bf16, unsigned short, 2)
FATWOOD_CONVOLVE_BOTH(bf16, unsigned short, 4)
#endif
