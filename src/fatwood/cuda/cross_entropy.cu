// The mean cross-entropy of few classes, and its gradient, in one launch of one block.

constexpr int kLossThreads = 512;
constexpr i64 kIgnored = -100;  // LibTorch's class of rows that do not count

#ifdef FATWOOD_MODULE_BASE

// loss[0] = mean over the rows that count of log Σ exp(x) − x[target], NaN where there are none or where
// a target is no class; gradient: that of x. Every sum goes in a fixed order.
extern "C" __global__ void cross_entropy_f32(const float* __restrict__ x,
                                             const i64* __restrict__ targets, int rows, int classes,
                                             float* loss, float* __restrict__ gradient) {
  __shared__ double losses[kLossThreads];
  __shared__ int counts[kLossThreads];
  const int t = threadIdx.x;
  double own = 0;
  int count = 0;
  for (int row = t; row < rows; row += kLossThreads) {
    if (targets[row] != kIgnored) ++count;
  }
  counts[t] = count;
  for (int half = kLossThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) counts[t] += counts[t + half];
  }
  __syncthreads();
  const float share = 1.0f / counts[0];
  for (int row = t; row < rows; row += kLossThreads) {
    const i64 target = targets[row], first = (i64)row * classes;
    const bool counted = target != kIgnored;
    float top = x[first];
    for (int c = 1; c < classes; ++c) {
      const float v = x[first + c];
      if (v > top || v != v) top = v;
    }
    float sum = 0;
    for (int c = 0; c < classes; ++c) sum += expf(x[first + c] - top);
    if (counted) {
      own += target >= 0 && target < classes ? logf(sum) - (x[first + target] - top)
                                             : __uint_as_float(0x7fc00000);
    }
    const float scale = counted ? share / sum : 0;
    for (int c = 0; c < classes; ++c) {
      const float slope = scale * expf(x[first + c] - top);
      gradient[first + c] = counted && c == target ? slope - share : slope;
    }
  }
  losses[t] = own;
  for (int half = kLossThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) losses[t] += losses[t + half];
  }
  if (t == 0) loss[0] = losses[0] / counts[0];
}

#endif
