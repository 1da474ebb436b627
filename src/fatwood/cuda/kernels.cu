// CUDA C++ that NVRTC compiles for the device in hand when the program first needs it: a build needs
// no nvcc. Each kernel's launch stands in the .cpp file of the same idea. program.cpp puts the .cu
// files behind one another and compiles them as modules, of which each has some of the kernels.

typedef long long i64;

__device__ float load_at(const float* x, i64 i) { return x[i]; }
__device__ float load_at(const unsigned short* x, i64 i) {  // bf16: the upper half of a float
  return __uint_as_float((unsigned)x[i] << 16);
}

#ifdef FATWOOD_MODULE_BASE

// One thread a float of the batch. x is (images, plane, channels), the channels-last order; pixels
// are (N, channels, plane).
extern "C" __global__ void gather_images(const unsigned char* __restrict__ pixels,
                                         const i64* __restrict__ labels,
                                         const i64* __restrict__ order, i64 first, i64 images,
                                         i64 plane, i64 channels, float scale, float shift,
                                         float* __restrict__ x, i64* __restrict__ y) {
  const i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
  if (i < images) y[i] = labels[order[first + i]];
  const i64 size = plane * channels;
  if (i >= images * size) return;
  const i64 image = i / size, rest = i - image * size;
  const i64 pixel = rest / channels, channel = rest - pixel * channels;
  x[i] = pixels[order[first + image] * size + channel * plane + pixel] * scale + shift;
}

struct AdamWSlice {
  float* parameter;
  const float* gradient;
  float* exp_avg;
  float* exp_avg_sq;
  i64 count;
};

struct Chunk {
  int slice, first;  // in units of kChunk
};

constexpr int kChunk = 1024;

// A block a chunk of one parameter. Loshchilov & Hutter's update in the order of operations of
// LibTorch's fused one.
extern "C" __global__ void adamw(const AdamWSlice* __restrict__ slices,
                                 const Chunk* __restrict__ chunks, float lr, float beta1,
                                 float beta2, float weight_decay, float eps, float correction1,
                                 float sqrt_correction2) {
  const Chunk chunk = chunks[blockIdx.x];
  const AdamWSlice slice = slices[chunk.slice];
  for (int k = threadIdx.x; k < kChunk; k += blockDim.x) {
    const i64 i = (i64)chunk.first * kChunk + k;
    if (i >= slice.count) return;
    const float g = slice.gradient[i];
    float p = slice.parameter[i];
    p -= lr * weight_decay * p;
    const float m = slice.exp_avg[i] + (1 - beta1) * (g - slice.exp_avg[i]);
    const float v = beta2 * slice.exp_avg_sq[i] + (1 - beta2) * g * g;
    slice.exp_avg[i] = m;
    slice.exp_avg_sq[i] = v;
    slice.parameter[i] = p - lr / correction1 * m / (sqrtf(v) / sqrt_correction2 + eps);
  }
}

constexpr int kBins = 40;
constexpr float kTop = 10;
constexpr int kMomentThreads = 256;

// Sums and squares in double, each block's by itself; the last block to finish adds them up in a
// fixed order, so that the result is the same each time. out: mean, deviation, and with `hist` the
// 40 counts of |x| in [0, 10]. partials: 2·gridDim.x doubles; counts: 40 zeros, done: one zero; both
// are left as zeros.
template <class T>
__device__ void moments_of(const T* x, i64 n, bool hist, double* partials, unsigned* counts,
                           unsigned* done, double* out) {
  __shared__ double sums[kMomentThreads], squares[kMomentThreads];
  __shared__ unsigned bins[kBins];
  __shared__ bool last;
  const int t = threadIdx.x;
  if (t < kBins) bins[t] = 0;
  __syncthreads();
  double sum = 0, square = 0;
  for (i64 i = blockIdx.x * (i64)kMomentThreads + t; i < n; i += (i64)gridDim.x * kMomentThreads) {
    const float v = load_at(x, i);
    sum += v;
    square += (double)v * v;
    const float a = fabsf(v);
    if (hist && a <= kTop) {  // not NaN
      const int bin = (int)(a * kBins / kTop);
      atomicAdd(&bins[bin < kBins ? bin : kBins - 1], 1u);
    }
  }
  sums[t] = sum;
  squares[t] = square;
  for (int half = kMomentThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) {
      sums[t] += sums[t + half];
      squares[t] += squares[t + half];
    }
  }
  __syncthreads();
  if (hist && t < kBins && bins[t] > 0) atomicAdd(&counts[t], bins[t]);
  if (t == 0) {
    partials[2 * blockIdx.x] = sums[0];
    partials[2 * blockIdx.x + 1] = squares[0];
  }
  __threadfence();
  __syncthreads();
  if (t == 0) last = atomicAdd(done, 1u) + 1 == gridDim.x;
  __syncthreads();
  if (!last) return;
  __threadfence();
  if (t == 0) {
    double all = 0, all_squares = 0;
    for (int b = 0; b < gridDim.x; ++b) {
      all += ((volatile double*)partials)[2 * b];
      all_squares += ((volatile double*)partials)[2 * b + 1];
    }
    out[0] = all / n;
    // Not clamped where n is 1: 0/0, as torch::std has it.
    const double rest = all_squares - all * all / n;
    out[1] = sqrt((rest > 0 || rest != rest ? rest : 0) / (n - 1));
    *done = 0;
  }
  if (hist && t < kBins) {
    out[2 + t] = ((volatile unsigned*)counts)[t];
    counts[t] = 0;
  }
}

extern "C" __global__ void moments_f32(const float* x, i64 n, bool hist, double* partials,
                                       unsigned* counts, unsigned* done, double* out) {
  moments_of(x, n, hist, partials, counts, done, out);
}

extern "C" __global__ void moments_bf16(const unsigned short* x, i64 n, bool hist, double* partials,
                                        unsigned* counts, unsigned* done, double* out) {
  moments_of(x, n, hist, partials, counts, done, out);
}

#endif
