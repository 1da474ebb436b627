// Activation and batch norm of training as two passes, and two more backwards; every tensor is
// (rows, channels), the channels-last order of (N, C, H, W).
//
// r = act(x), xhat = (r − mean)·rstd, y = γ·xhat + β, with mean and the biased variance over the rows.

struct Activation {
  float leak;    // the slope below zero; 1: none
  float shift;   // subtracted behind it
};

__device__ float activated(Activation act, float x) {
  return (x > 0 ? x : act.leak * x) - act.shift;
}

__device__ void store_at(float* x, i64 i, float v) { x[i] = v; }
__device__ void store_at(unsigned short* x, i64 i, float v) {  // to the nearest, ties to even
  const unsigned bits = __float_as_uint(v);
  x[i] = v != v ? 0x7fc0 : (unsigned short)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// kLanes neighbouring values at a time: 4 where the channels divide.
template <int kLanes>
struct Values {
  float v[kLanes];
};
template <int kLanes>
__device__ Values<kLanes> load_values(const float* x, i64 i) {
  Values<kLanes> values;
  if constexpr (kLanes == 4) {
    const float4 four = *(const float4*)(x + i);
    values.v[0] = four.x, values.v[1] = four.y, values.v[2] = four.z, values.v[3] = four.w;
  } else {
    values.v[0] = x[i];
  }
  return values;
}
template <int kLanes>
__device__ Values<kLanes> load_values(const unsigned short* x, i64 i) {
  Values<kLanes> values;
  if constexpr (kLanes == 4) {
    const ushort4 four = *(const ushort4*)(x + i);
    const unsigned short all[4] = {four.x, four.y, four.z, four.w};
    for (int k = 0; k < 4; ++k) values.v[k] = load_at(all, k);
  } else {
    values.v[0] = load_at(x, i);
  }
  return values;
}
template <int kLanes>
__device__ void store_values(float* x, i64 i, const Values<kLanes>& values) {
  if constexpr (kLanes == 4) {
    *(float4*)(x + i) = make_float4(values.v[0], values.v[1], values.v[2], values.v[3]);
  } else {
    x[i] = values.v[0];
  }
}
template <int kLanes>
__device__ void store_values(unsigned short* x, i64 i, const Values<kLanes>& values) {
  if constexpr (kLanes == 4) {
    unsigned short all[4];
    for (int k = 0; k < 4; ++k) store_at(all, k, values.v[k]);
    *(ushort4*)(x + i) = make_ushort4(all[0], all[1], all[2], all[3]);
  } else {
    store_at(x, i, values.v[0]);
  }
}

constexpr int kNormThreads = 256;

// A block takes kNormThreads / width rows at a time, width = min(channels / kLanes, kNormThreads);
// blockIdx.y counts the tiles of channels. A thread has the same kLanes channels throughout.
template <int kLanes>
struct Place {
  int width, channel, rows_at_once;
  i64 row, row_step;
  bool idle;
  __device__ Place(int channels) {
    const int groups = channels / kLanes;
    width = groups < kNormThreads ? groups : kNormThreads;
    rows_at_once = kNormThreads / width;
    const int group = blockIdx.y * width + threadIdx.x % width;
    channel = group * kLanes;
    row = (i64)blockIdx.x * rows_at_once + threadIdx.x / width;
    row_step = (i64)gridDim.x * rows_at_once;
    idle = threadIdx.x >= rows_at_once * width || group >= groups;
  }
};

// The sums of two values a thread and channel over all threads of the channel and all blocks of its
// tile: the block's own through shared memory, then the last block of the tile adds up what all have
// left, in a fixed order. True in the threads that hold the whole sums, one for each kLanes channels.
template <int kLanes>
__device__ bool sum_over_rows(const Place<kLanes>& place, int channels,
                              const Values<kLanes>& first, const Values<kLanes>& second,
                              float2* partials, unsigned* done, double (&first_sum)[kLanes],
                              double (&second_sum)[kLanes]) {
  __shared__ float2 own[kLanes][kNormThreads];
  __shared__ double2 shares[kLanes][kNormThreads];
  __shared__ bool last;
  const int width = place.width;
  for (int k = 0; k < kLanes; ++k)
    own[k][threadIdx.x] = place.idle ? make_float2(0, 0) : make_float2(first.v[k], second.v[k]);
  __syncthreads();
  const bool first_row = threadIdx.x < width && !place.idle;
  const int own_row = threadIdx.x / width;
  for (int n = place.rows_at_once; n > 1;) {  // halves the rows
    const int half = (n + 1) / 2;
    if (own_row < n - half) {
      for (int k = 0; k < kLanes; ++k) {
        own[k][threadIdx.x].x += own[k][threadIdx.x + half * width].x;
        own[k][threadIdx.x].y += own[k][threadIdx.x + half * width].y;
      }
    }
    n = half;
    __syncthreads();
  }
  if (first_row) {
    for (int k = 0; k < kLanes; ++k)
      partials[(i64)blockIdx.x * channels + place.channel + k] = own[k][threadIdx.x];
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicAdd(&done[blockIdx.y], 1u) + 1 == gridDim.x;
  __syncthreads();
  if (!last) return false;
  __threadfence();
  // All the block's threads share the blocks' sums of a channel.
  for (int k = 0; k < kLanes; ++k) {
    double2 share = make_double2(0, 0);
    if (!place.idle) {
#pragma unroll 4
      for (int block = own_row; block < gridDim.x; block += place.rows_at_once) {
        const float2 sum = __ldcg(&partials[(i64)block * channels + place.channel + k]);
        share.x += sum.x;
        share.y += sum.y;
      }
    }
    shares[k][threadIdx.x] = share;
  }
  __syncthreads();
  if (threadIdx.x == 0) done[blockIdx.y] = 0;
  for (int n = place.rows_at_once; n > 1;) {
    const int half = (n + 1) / 2;
    if (own_row < n - half) {
      for (int k = 0; k < kLanes; ++k) {
        shares[k][threadIdx.x].x += shares[k][threadIdx.x + half * width].x;
        shares[k][threadIdx.x].y += shares[k][threadIdx.x + half * width].y;
      }
    }
    n = half;
    __syncthreads();
  }
  if (!first_row) return false;
  for (int k = 0; k < kLanes; ++k) {
    first_sum[k] = shares[k][threadIdx.x].x;
    second_sum[k] = shares[k][threadIdx.x].y;
  }
  return true;
}

// saved: mean and rstd, (2, channels). running_*: x ← (1 − momentum)·x + momentum·new, the variance
// unbiased. tracked: counts the batches.
template <int kLanes, class T>
__device__ void norm_statistics_of(const T* __restrict__ x, i64 rows, int channels, Activation act,
                                   float eps, float momentum, float2* partials, unsigned* done,
                                   float* running_mean, float* running_var, i64* tracked,
                                   float* saved) {
  const Place<kLanes> place(channels);
  Values<kLanes> sum = {}, square = {};
  if (!place.idle) {
#pragma unroll 4
    for (i64 row = place.row; row < rows; row += place.row_step) {
      const Values<kLanes> value = load_values<kLanes>(x, row * channels + place.channel);
      for (int k = 0; k < kLanes; ++k) {
        const float r = activated(act, value.v[k]);
        sum.v[k] += r;
        square.v[k] += r * r;
      }
    }
  }
  double all[kLanes], squares[kLanes];
  if (!sum_over_rows(place, channels, sum, square, partials, done, all, squares)) return;
  for (int k = 0; k < kLanes; ++k) {
    const int c = place.channel + k;
    const double mean = all[k] / rows, rest = squares[k] / rows - mean * mean;
    const double variance = rest > 0 || rest != rest ? rest : 0;
    saved[c] = (float)mean;
    saved[channels + c] = (float)(1 / sqrt(variance + eps));
    running_mean[c] = (1 - momentum) * running_mean[c] + momentum * (float)mean;
    running_var[c] =
        (1 - momentum) * running_var[c] + momentum * (float)(variance * rows / (rows - 1));
    if (c == 0) ++*tracked;
  }
}

template <int kLanes, class T>
__device__ void norm_apply_of(const T* __restrict__ x, i64 rows, int channels, Activation act,
                              const float* saved, const float* weight, const float* bias,
                              T* __restrict__ y) {
  const Place<kLanes> place(channels);
  if (place.idle) return;
  float scale[kLanes], shift[kLanes];
  for (int k = 0; k < kLanes; ++k) {
    const int c = place.channel + k;
    scale[k] = weight[c] * saved[channels + c];
    shift[k] = bias[c] - saved[c] * scale[k];
  }
#pragma unroll 4
  for (i64 row = place.row; row < rows; row += place.row_step) {
    const i64 i = row * channels + place.channel;
    Values<kLanes> value = load_values<kLanes>(x, i);
    for (int k = 0; k < kLanes; ++k)
      value.v[k] = activated(act, value.v[k]) * scale[k] + shift[k];
    store_values(y, i, value);
  }
}

// sums: of dy and of dy·xhat, which are the gradients of β and γ, (2, channels).
template <int kLanes, class T>
__device__ void norm_gradient_sums_of(const T* __restrict__ x, const T* __restrict__ dy, i64 rows,
                                      int channels, Activation act, const float* saved,
                                      float2* partials, unsigned* done, float* sums) {
  const Place<kLanes> place(channels);
  Values<kLanes> sum = {}, product = {};
  if (!place.idle) {
    float mean[kLanes], rstd[kLanes];
    for (int k = 0; k < kLanes; ++k) {
      mean[k] = saved[place.channel + k];
      rstd[k] = saved[channels + place.channel + k];
    }
#pragma unroll 4
    for (i64 row = place.row; row < rows; row += place.row_step) {
      const i64 i = row * channels + place.channel;
      const Values<kLanes> value = load_values<kLanes>(x, i), g = load_values<kLanes>(dy, i);
      for (int k = 0; k < kLanes; ++k) {
        sum.v[k] += g.v[k];
        product.v[k] += g.v[k] * (activated(act, value.v[k]) - mean[k]) * rstd[k];
      }
    }
  }
  double all[kLanes], products[kLanes];
  if (!sum_over_rows(place, channels, sum, product, partials, done, all, products)) return;
  for (int k = 0; k < kLanes; ++k) {
    sums[place.channel + k] = (float)all[k];
    sums[channels + place.channel + k] = (float)products[k];
  }
}

// dx = act'(x)·γ·rstd·(dy − mean(dy) − xhat·mean(dy·xhat))
template <int kLanes, class T>
__device__ void norm_gradient_of(const T* __restrict__ x, const T* __restrict__ dy, i64 rows,
                                 int channels, Activation act, const float* saved,
                                 const float* weight, const float* sums, T* __restrict__ dx) {
  const Place<kLanes> place(channels);
  if (place.idle) return;
  float mean[kLanes], rstd[kLanes], scale[kLanes], mean_dy[kLanes], mean_product[kLanes];
  for (int k = 0; k < kLanes; ++k) {
    const int c = place.channel + k;
    mean[k] = saved[c];
    rstd[k] = saved[channels + c];
    scale[k] = weight[c] * rstd[k];
    mean_dy[k] = sums[c] / rows;
    mean_product[k] = sums[channels + c] / rows;
  }
#pragma unroll 4
  for (i64 row = place.row; row < rows; row += place.row_step) {
    const i64 i = row * channels + place.channel;
    Values<kLanes> value = load_values<kLanes>(x, i);
    const Values<kLanes> g = load_values<kLanes>(dy, i);
    for (int k = 0; k < kLanes; ++k) {
      const float xhat = (activated(act, value.v[k]) - mean[k]) * rstd[k];
      const float slope = value.v[k] > 0 ? 1 : act.leak;
      value.v[k] = slope * scale[k] * (g.v[k] - mean_dy[k] - xhat * mean_product[k]);
    }
    store_values(dx, i, value);
  }
}

// The mean of 2 × 2 pixels, at odd edges of those that there are. A thread an output value.
template <class T>
__device__ void average_pool_of(const T* __restrict__ x, i64 images, int height, int width,
                                int channels, T* __restrict__ y) {
  const int out_h = (height + 1) / 2, out_w = (width + 1) / 2;
  const i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
  if (i >= images * out_h * out_w * channels) return;
  const int c = i % channels, column = i / channels % out_w, row = i / channels / out_w % out_h;
  const i64 image = i / channels / out_w / out_h;
  const int bottom = 2 * row + 2 < height ? 2 * row + 2 : height;
  const int right = 2 * column + 2 < width ? 2 * column + 2 : width;
  float sum = 0;
  for (int v = 2 * row; v < bottom; ++v) {
    for (int u = 2 * column; u < right; ++u)
      sum += load_at(x, ((image * height + v) * width + u) * channels + c);
  }
  store_at(y, i, sum / ((bottom - 2 * row) * (right - 2 * column)));
}

// A thread an input value.
template <class T>
__device__ void average_pool_gradient_of(const T* __restrict__ dy, i64 images, int height,
                                         int width, int channels, T* __restrict__ dx) {
  const int out_h = (height + 1) / 2, out_w = (width + 1) / 2;
  const i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
  if (i >= images * height * width * channels) return;
  const int c = i % channels, column = i / channels % width, row = i / channels / width % height;
  const i64 image = i / channels / width / height;
  const int tall = 2 * (row / 2) + 2 <= height ? 2 : 1, wide = 2 * (column / 2) + 2 <= width ? 2 : 1;
  store_at(dx, i,
           load_at(dy, ((image * out_h + row / 2) * out_w + column / 2) * channels + c) /
               (tall * wide));
}

// y = act(u + v), and backwards du = dv = act'(u + v)·dy.
template <class T>
__device__ void sum_activation_of(const T* __restrict__ u, const T* __restrict__ v, i64 n,
                                  Activation act, T* __restrict__ y) {
  for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < n; i += (i64)gridDim.x * blockDim.x)
    store_at(y, i, activated(act, load_at(u, i) + load_at(v, i)));
}

template <class T>
__device__ void sum_activation_gradient_of(const T* __restrict__ u, const T* __restrict__ v,
                                           const T* __restrict__ dy, i64 n, Activation act,
                                           T* __restrict__ dx) {
  for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < n; i += (i64)gridDim.x * blockDim.x)
    store_at(dx, i, load_at(dy, i) * (load_at(u, i) + load_at(v, i) > 0 ? 1 : act.leak));
}

#define FATWOOD_NORM_KERNELS(suffix, T, lanes)                                                     \
  extern "C" __global__ void norm_statistics_##lanes##_##suffix(                                   \
      const T* x, i64 rows, int channels, Activation act, float eps, float momentum,               \
      float2* partials, unsigned* done, float* running_mean, float* running_var, i64* tracked,     \
      float* saved) {                                                                              \
    norm_statistics_of<lanes>(x, rows, channels, act, eps, momentum, partials, done, running_mean, \
                              running_var, tracked, saved);                                        \
  }                                                                                                \
  extern "C" __global__ void norm_apply_##lanes##_##suffix(                                        \
      const T* x, i64 rows, int channels, Activation act, const float* saved, const float* weight, \
      const float* bias, T* y) {                                                                   \
    norm_apply_of<lanes>(x, rows, channels, act, saved, weight, bias, y);                          \
  }                                                                                                \
  extern "C" __global__ void norm_gradient_sums_##lanes##_##suffix(                                \
      const T* x, const T* dy, i64 rows, int channels, Activation act, const float* saved,         \
      float2* partials, unsigned* done, float* sums) {                                             \
    norm_gradient_sums_of<lanes>(x, dy, rows, channels, act, saved, partials, done, sums);         \
  }                                                                                                \
  extern "C" __global__ void norm_gradient_##lanes##_##suffix(                                     \
      const T* x, const T* dy, i64 rows, int channels, Activation act, const float* saved,         \
      const float* weight, const float* sums, T* dx) {                                             \
    norm_gradient_of<lanes>(x, dy, rows, channels, act, saved, weight, sums, dx);                  \
  }

#define FATWOOD_ELEMENT_KERNELS(suffix, T)                                                         \
  extern "C" __global__ void sum_activation_##suffix(const T* u, const T* v, i64 n,                \
                                                     Activation act, T* y) {                       \
    sum_activation_of(u, v, n, act, y);                                                            \
  }                                                                                                \
  extern "C" __global__ void sum_activation_gradient_##suffix(                                     \
      const T* u, const T* v, const T* dy, i64 n, Activation act, T* dx) {                         \
    sum_activation_gradient_of(u, v, dy, n, act, dx);                                              \
  }                                                                                                \
  extern "C" __global__ void average_pool_##suffix(const T* x, i64 images, int height, int width,  \
                                                   int channels, T* y) {                           \
    average_pool_of(x, images, height, width, channels, y);                                        \
  }                                                                                                \
  extern "C" __global__ void average_pool_gradient_##suffix(                                       \
      const T* dy, i64 images, int height, int width, int channels, T* dx) {                       \
    average_pool_gradient_of(dy, images, height, width, channels, dx);                             \
  }

#ifdef FATWOOD_MODULE_BASE
FATWOOD_NORM_KERNELS(f32, float, 1)
FATWOOD_NORM_KERNELS(f32, float, 4)
FATWOOD_NORM_KERNELS(bf16, unsigned short, 1)
FATWOOD_NORM_KERNELS(bf16, unsigned short, 4)
FATWOOD_ELEMENT_KERNELS(f32, float)
FATWOOD_ELEMENT_KERNELS(bf16, unsigned short)
#endif
