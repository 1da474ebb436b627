// Activation and batch norm of training as two passes, and two more backwards; every tensor is
// (rows, channels), the channels-last order of (N, C, H, W).
//
// r = act(x), xhat = (r − mean)·rstd, y = γ·xhat + β, with mean and the biased variance over the rows;
// behind it there may be a sum with another tensor and a ReLU.

constexpr int kNormThreads = 256;
constexpr int kTileGroups = 16;  // of kLanes channels

// A block takes a tile of at most kTileGroups·kLanes channels, blockIdx.y says which, and kNormThreads /
// width rows at a time. A thread has the same kLanes channels throughout.
template <int kLanes>
struct Place {
  int width, group, channel, own_row, rows_at_once;
  i64 row, row_step;
  bool idle;
  __device__ Place(int channels) {
    const int groups = channels / kLanes;
    width = groups < kTileGroups ? groups : kTileGroups;
    rows_at_once = kNormThreads / width;
    own_row = threadIdx.x / width;
    group = threadIdx.x - own_row * width;
    channel = (blockIdx.y * width + group) * kLanes;
    row = (i64)blockIdx.x * rows_at_once + own_row;
    row_step = (i64)gridDim.x * rows_at_once;
    idle = own_row >= rows_at_once || channel >= channels;
  }
};

// The sums over a block's threads of a channel, in those of its first row; halves the rows.
template <int kLanes, class Pair>
__device__ void sum_over_block(const Place<kLanes>& place, Pair (&sums)[kLanes][kNormThreads]) {
  for (int n = place.rows_at_once; n > 1;) {
    const int half = (n + 1) / 2;
    __syncthreads();
    if (place.own_row < n - half) {
      for (int k = 0; k < kLanes; ++k) {
        const Pair other = sums[k][threadIdx.x + half * place.width];
        sums[k][threadIdx.x].x += other.x;
        sums[k][threadIdx.x].y += other.y;
      }
    }
    n = half;
  }
  __syncthreads();
}

// Leaves a block's sums of two values a channel: partials[blockIdx.x][channel].
template <int kLanes>
__device__ void leave_sums(const Place<kLanes>& place, int channels, const Values<kLanes>& first,
                           const Values<kLanes>& second, float2* partials) {
  __shared__ float2 sums[kLanes][kNormThreads];
  for (int k = 0; k < kLanes; ++k)
    sums[k][threadIdx.x] = place.idle ? make_float2(0, 0) : make_float2(first.v[k], second.v[k]);
  sum_over_block(place, sums);
  if (place.own_row > 0 || place.idle) return;
  for (int k = 0; k < kLanes; ++k)
    partials[(i64)blockIdx.x * channels + place.channel + k] = sums[k][threadIdx.x];
}

// What all blocks of leave_sums() left of the block's channels, at [k][group]. Every block adds them up
// for itself, in a fixed order: reading 64 KiB at most again is faster than a kernel, or a wait, between.
template <int kLanes>
__device__ void take_sums(const Place<kLanes>& place, int channels, const float2* partials,
                          int splits, double2 (&sums)[kLanes][kNormThreads]) {
  double2 own[kLanes] = {};
  if (!place.idle) {
#pragma unroll 8
    for (int split = place.own_row; split < splits; split += place.rows_at_once) {
      const i64 from = 2 * ((i64)split * channels + place.channel);
      const Values<2 * kLanes> values = load_values<2 * kLanes>((const float*)partials, from);
      for (int k = 0; k < kLanes; ++k) {
        own[k].x += values.v[2 * k];
        own[k].y += values.v[2 * k + 1];
      }
    }
  }
  for (int k = 0; k < kLanes; ++k) sums[k][threadIdx.x] = own[k];
  sum_over_block(place, sums);
}

// partials: the sums of act(x) and its square, for norm_apply.
template <int kLanes, class T>
__device__ void norm_sums_of(const T* __restrict__ x, i64 rows, int channels, Activation act,
                             float2* partials) {
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
  leave_sums(place, channels, sum, square, partials);
}

struct Running {
  float* mean;
  float* variance;
  i64* batches;
  float momentum, eps;
  double share, unbiased;  // 1 / rows and rows / (rows − 1): dividing doubles is slow here
};

// y = leaky(leak, norm(act(x)) + skip); a leak of 1 is none, skip may be missing. saved: mean and rstd,
// (2, channels). running: x ← (1 − momentum)·x + momentum·new, the variance unbiased.
template <int kLanes, class T>
__device__ void norm_apply_of(const T* __restrict__ x, i64 rows, int channels, Activation act,
                              const float2* partials, int splits, const float* weight,
                              const float* bias, Running running, const T* __restrict__ skip,
                              float leak, float* saved, T* __restrict__ y) {
  __shared__ double2 sums[kLanes][kNormThreads];
  __shared__ float2 factors[kLanes][kTileGroups];
  const Place<kLanes> place(channels);
  take_sums(place, channels, partials, splits, sums);
  const int own = threadIdx.x, c = blockIdx.y * place.width * kLanes + own;  // a thread a channel
  if (own < place.width * kLanes && c < channels) {
    const double2 sum = sums[own % kLanes][own / kLanes];
    const double mean = sum.x * running.share, rest = sum.y * running.share - mean * mean;
    const float variance = rest > 0 || rest != rest ? rest : 0;
    const float rstd = 1 / sqrtf(variance + running.eps), scale = weight[c] * rstd;
    factors[own % kLanes][own / kLanes] = make_float2(scale, bias[c] - (float)mean * scale);
    if (blockIdx.x == 0) {
      saved[c] = mean;
      saved[channels + c] = rstd;
      const float kept = 1 - running.momentum;
      running.mean[c] = kept * running.mean[c] + running.momentum * (float)mean;
      running.variance[c] = kept * running.variance[c] +
                            running.momentum * (float)(variance * running.unbiased);
      if (c == 0) ++*running.batches;
    }
  }
  __syncthreads();
  if (place.idle) return;
  float scale[kLanes], shift[kLanes];
  for (int k = 0; k < kLanes; ++k) {
    scale[k] = factors[k][place.group].x;
    shift[k] = factors[k][place.group].y;
  }
#pragma unroll 4
  for (i64 row = place.row; row < rows; row += place.row_step) {
    const i64 i = row * channels + place.channel;
    Values<kLanes> value = load_values<kLanes>(x, i), added = {};
    if (skip) added = load_values<kLanes>(skip, i);
    for (int k = 0; k < kLanes; ++k)
      value.v[k] = leaky(leak, activated(act, value.v[k]) * scale[k] + shift[k] + added.v[k]);
    store_values(y, i, value);
  }
}

// dy behind the leaky(leak, ·) that gave y.
template <int kLanes, class T>
__device__ Values<kLanes> slope_of(const T* dy, const T* y, i64 i, float leak) {
  Values<kLanes> g = load_values<kLanes>(dy, i);
  if (leak == 1) return g;
  const Values<kLanes> out = load_values<kLanes>(y, i);
  for (int k = 0; k < kLanes; ++k) g.v[k] = leaky_slope(leak, out.v[k], g.v[k]);
  return g;
}

// partials: the sums of dz and of dz·xhat, for norm_gradient; dz is slope_of(dy, y).
template <int kLanes, class T>
__device__ void norm_gradient_sums_of(const T* __restrict__ x, const T* __restrict__ dy,
                                      const T* __restrict__ y, i64 rows, int channels,
                                      Activation act, float leak, const float* saved,
                                      float2* partials) {
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
      const Values<kLanes> value = load_values<kLanes>(x, i), g = slope_of<kLanes>(dy, y, i, leak);
      for (int k = 0; k < kLanes; ++k) {
        sum.v[k] += g.v[k];
        product.v[k] += g.v[k] * (activated(act, value.v[k]) - mean[k]) * rstd[k];
      }
    }
  }
  leave_sums(place, channels, sum, product, partials);
}

// dx = act'(x)·γ·rstd·(dz − mean(dz) − xhat·mean(dz·xhat)); sums: of dz and of dz·xhat, which are the
// gradients of β and γ, (2, channels); dskip, where it is not missing: dz.
template <int kLanes, class T>
__device__ void norm_gradient_of(const T* __restrict__ x, const T* __restrict__ dy,
                                 const T* __restrict__ y, i64 rows, int channels, Activation act,
                                 float leak, const float2* partials, int splits, const float* saved,
                                 const float* weight, float* sums, T* __restrict__ dskip,
                                 T* __restrict__ dx) {
  __shared__ double2 all[kLanes][kNormThreads];
  const Place<kLanes> place(channels);
  take_sums(place, channels, partials, splits, all);
  if (place.idle) return;
  const float share = 1.0f / rows;
  float mean[kLanes], rstd[kLanes], scale[kLanes], mean_dz[kLanes], mean_product[kLanes];
  for (int k = 0; k < kLanes; ++k) {
    const int c = place.channel + k;
    const double2 sum = all[k][place.group];
    mean[k] = saved[c];
    rstd[k] = saved[channels + c];
    scale[k] = weight[c] * rstd[k];
    mean_dz[k] = (float)sum.x * share;
    mean_product[k] = (float)sum.y * share;
    if (blockIdx.x == 0 && place.own_row == 0) {
      sums[c] = sum.x;
      sums[channels + c] = sum.y;
    }
  }
#pragma unroll 4
  for (i64 row = place.row; row < rows; row += place.row_step) {
    const i64 i = row * channels + place.channel;
    Values<kLanes> value = load_values<kLanes>(x, i);
    const Values<kLanes> g = slope_of<kLanes>(dy, y, i, leak);
    if (dskip) store_values(dskip, i, g);
    for (int k = 0; k < kLanes; ++k) {
      const float xhat = (activated(act, value.v[k]) - mean[k]) * rstd[k];
      const float slope = scale[k] * (g.v[k] - mean_dz[k] - xhat * mean_product[k]);
      value.v[k] = leaky_slope(act.leak, value.v[k], slope);
    }
    store_values(dx, i, value);
  }
}

#define FATWOOD_NORM_KERNELS(suffix, T, lanes)                                                     \
  extern "C" __global__ void norm_sums_##lanes##_##suffix(const T* x, i64 rows, int channels,      \
                                                          Activation act, float2* partials) {      \
    norm_sums_of<lanes>(x, rows, channels, act, partials);                                         \
  }                                                                                                \
  extern "C" __global__ void norm_apply_##lanes##_##suffix(                                        \
      const T* x, i64 rows, int channels, Activation act, const float2* partials, int splits,      \
      const float* weight, const float* bias, Running running, const T* skip, float leak,          \
      float* saved, T* y) {                                                                        \
    norm_apply_of<lanes>(x, rows, channels, act, partials, splits, weight, bias, running, skip,    \
                         leak, saved, y);                                                          \
  }                                                                                                \
  extern "C" __global__ void norm_gradient_sums_##lanes##_##suffix(                                \
      const T* x, const T* dy, const T* y, i64 rows, int channels, Activation act, float leak,     \
      const float* saved, float2* partials) {                                                      \
    norm_gradient_sums_of<lanes>(x, dy, y, rows, channels, act, leak, saved, partials);            \
  }                                                                                                \
  extern "C" __global__ void norm_gradient_##lanes##_##suffix(                                     \
      const T* x, const T* dy, const T* y, i64 rows, int channels, Activation act, float leak,     \
      const float2* partials, int splits, const float* saved, const float* weight, float* sums,    \
      T* dskip, T* dx) {                                                                           \
    norm_gradient_of<lanes>(x, dy, y, rows, channels, act, leak, partials, splits, saved, weight,  \
                            sums, dskip, dx);                                                      \
  }

#ifdef FATWOOD_MODULE_BASE
FATWOOD_NORM_KERNELS(f32, float, 1)
FATWOOD_NORM_KERNELS(f32, float, 4)
FATWOOD_NORM_KERNELS(bf16, unsigned short, 1)
FATWOOD_NORM_KERNELS(bf16, unsigned short, 4)
#endif
