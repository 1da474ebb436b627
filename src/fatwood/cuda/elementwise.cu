// Activations and values of float or bfloat16 for the kernels of the other files; pooling by 2 × 2, and the
// activation of a sum. Tensors are (rows, channels), the channels-last order of (N, C, H, W).

struct Activation {
  float leak;    // the slope below zero; 1: none
  float shift;   // subtracted behind it
};

__device__ float leaky(float leak, float x) {  // keeps NaN; of −∞ without a leak 0, as LibTorch
  return x <= 0 ? (leak == 0 ? 0 : leak * x) : x;
}

// The gradient g behind leaky(leak, x), as LibTorch's relu and leaky_relu have it for what is no number.
__device__ float leaky_slope(float leak, float x, float g) {
  return leak == 0 ? (x <= 0 ? 0 : g) : (x > 0 ? g : leak * g);
}

__device__ float activated(Activation act, float x) { return leaky(act.leak, x) - act.shift; }

__device__ unsigned short bf16_of(float v) {  // to the nearest, ties to even
  const unsigned bits = __float_as_uint(v);
  return v != v ? 0x7fc0 : (unsigned short)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
__device__ void store_at(float* x, i64 i, float v) { x[i] = v; }
__device__ void store_at(unsigned short* x, i64 i, float v) { x[i] = bf16_of(v); }

// kLanes neighbouring values at a time: 4 where the channels divide.
template <int kLanes>
struct Values {
  float v[kLanes];
};
template <int kLanes>
__device__ Values<kLanes> load_values(const float* x, i64 i) {
  Values<kLanes> values;
  if constexpr (kLanes % 4 == 0) {
    for (int k = 0; k < kLanes; k += 4) {
      const float4 four = *(const float4*)(x + i + k);
      values.v[k] = four.x, values.v[k + 1] = four.y;
      values.v[k + 2] = four.z, values.v[k + 3] = four.w;
    }
  } else {
    for (int k = 0; k < kLanes; ++k) values.v[k] = x[i + k];
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

// The input pixels of an output pixel of pooling by 2 × 2, at odd edges those that there are. A thread has
// kLanes channels of it.
template <int kLanes>
struct Window {
  unsigned to, from;  // the output's values, and those of the first pixel
  int tall, wide;
  bool outside;
  __device__ Window(int images, int height, int width, int channels) {
    const unsigned out_h = (height + 1) / 2, out_w = (width + 1) / 2, groups = channels / kLanes;
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x, pixel = i / groups;
    const unsigned line = pixel / out_w, column = pixel - line * out_w;
    const unsigned image = line / out_h, row = line - image * out_h;
    outside = image >= images;
    to = i * kLanes;
    from = ((image * height + 2 * row) * width + 2 * column) * channels +
           (i - pixel * groups) * kLanes;
    tall = 2 * row + 2 <= height ? 2 : 1;
    wide = 2 * column + 2 <= width ? 2 : 1;
  }
};

template <int kLanes, class T>
__device__ void average_pool_of(const T* __restrict__ x, int images, int height, int width,
                                int channels, T* __restrict__ y) {
  const Window<kLanes> window(images, height, width, channels);
  if (window.outside) return;
  Values<kLanes> sum = {};
#pragma unroll
  for (int v = 0; v < 2; ++v) {
#pragma unroll
    for (int u = 0; u < 2; ++u) {
      if (v >= window.tall || u >= window.wide) continue;
      const Values<kLanes> value =
          load_values<kLanes>(x, window.from + (i64)(v * width + u) * channels);
      for (int k = 0; k < kLanes; ++k) sum.v[k] += value.v[k];
    }
  }
  const float share = 1.0f / (window.tall * window.wide);
  for (int k = 0; k < kLanes; ++k) sum.v[k] *= share;
  store_values(y, window.to, sum);
}

template <int kLanes, class T>
__device__ void average_pool_gradient_of(const T* __restrict__ dy, int images, int height,
                                         int width, int channels, T* __restrict__ dx) {
  const Window<kLanes> window(images, height, width, channels);
  if (window.outside) return;
  Values<kLanes> slope = load_values<kLanes>(dy, window.to);
  const float share = 1.0f / (window.tall * window.wide);
  for (int k = 0; k < kLanes; ++k) slope.v[k] *= share;
  for (int v = 0; v < window.tall; ++v) {
    for (int u = 0; u < window.wide; ++u)
      store_values(dx, window.from + (i64)(v * width + u) * channels, slope);
  }
}

// y = act(u + v), and backwards du = dv = act'(u + v)·dy; n is a multiple of kLanes.
template <int kLanes, class T>
__device__ void sum_activation_of(const T* __restrict__ u, const T* __restrict__ v, i64 n,
                                  Activation act, T* __restrict__ y) {
  const i64 step = (i64)gridDim.x * blockDim.x * kLanes;
  for (i64 i = (blockIdx.x * (i64)blockDim.x + threadIdx.x) * kLanes; i < n; i += step) {
    Values<kLanes> sum = load_values<kLanes>(u, i);
    const Values<kLanes> other = load_values<kLanes>(v, i);
    for (int k = 0; k < kLanes; ++k) sum.v[k] = activated(act, sum.v[k] + other.v[k]);
    store_values(y, i, sum);
  }
}

template <int kLanes, class T>
__device__ void sum_activation_gradient_of(const T* __restrict__ u, const T* __restrict__ v,
                                           const T* __restrict__ dy, i64 n, Activation act,
                                           T* __restrict__ dx) {
  const i64 step = (i64)gridDim.x * blockDim.x * kLanes;
  for (i64 i = (blockIdx.x * (i64)blockDim.x + threadIdx.x) * kLanes; i < n; i += step) {
    const Values<kLanes> first = load_values<kLanes>(u, i), second = load_values<kLanes>(v, i);
    Values<kLanes> slope = load_values<kLanes>(dy, i);
    for (int k = 0; k < kLanes; ++k)
      slope.v[k] = leaky_slope(act.leak, first.v[k] + second.v[k], slope.v[k]);
    store_values(dx, i, slope);
  }
}

#define FATWOOD_ELEMENT_KERNELS(suffix, T, lanes)                                                  \
  extern "C" __global__ void sum_activation_##lanes##_##suffix(const T* u, const T* v, i64 n,      \
                                                               Activation act, T* y) {             \
    sum_activation_of<lanes>(u, v, n, act, y);                                                     \
  }                                                                                                \
  extern "C" __global__ void sum_activation_gradient_##lanes##_##suffix(                           \
      const T* u, const T* v, const T* dy, i64 n, Activation act, T* dx) {                         \
    sum_activation_gradient_of<lanes>(u, v, dy, n, act, dx);                                       \
  }                                                                                                \
  extern "C" __global__ void average_pool_##lanes##_##suffix(const T* x, int images, int height,   \
                                                             int width, int channels, T* y) {      \
    average_pool_of<lanes>(x, images, height, width, channels, y);                                 \
  }                                                                                                \
  extern "C" __global__ void average_pool_gradient_##lanes##_##suffix(                             \
      const T* dy, int images, int height, int width, int channels, T* dx) {                       \
    average_pool_gradient_of<lanes>(dy, images, height, width, channels, dx);                      \
  }

#ifdef FATWOOD_MODULE_BASE
FATWOOD_ELEMENT_KERNELS(f32, float, 1)
FATWOOD_ELEMENT_KERNELS(f32, float, 4)
FATWOOD_ELEMENT_KERNELS(bf16, unsigned short, 1)
FATWOOD_ELEMENT_KERNELS(bf16, unsigned short, 4)
#endif
