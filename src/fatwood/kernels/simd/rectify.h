// What a network needs whose norms come before its activations (ResNet's order): a norm and its
// activation formed from the raw value just before it is read, max and mean pooling, and their
// gradients. Each works on one group's planes.
#pragma once

#include <fatwood/kernels/simd/vec.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

FATWOOD_INLINE void affine_activate_plane(const float* in, std::int64_t n, float scale, float shift,
                                          float slope, float* out) {
  const Vec s = splat(scale);
  const Vec t = splat(shift);
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const Vec v = multiply_add(s, load(in + i), t);
    store(out + i, v > 0 ? v : v * slope);
  }
}

void affine_activate(int channels, int pixels, const float* in, const float* scale,
                     const float* shift, float slope, float* out) {
  const std::int64_t plane = static_cast<std::int64_t>(pixels) * kLanes;
  for (int c = 0; c < channels; ++c) {
    affine_activate_plane(in + c * plane, plane, scale[c], shift[c], slope, out + c * plane);
  }
}

/// The window of output (oy, ox) inside the image: rows [top, bottom), columns [left, right).
struct Window {
  int top, bottom, left, right;
};
FATWOOD_INLINE Window window_of(int oy, int ox, int height, int width) {
  const int top = 2 * oy - 1;
  const int left = 2 * ox - 1;
  return {top < 0 ? 0 : top, top + 3 > height ? height : top + 3, left < 0 ? 0 : left,
          left + 3 > width ? width : left + 3};
}

/// NaN where one is in the window, as in PyTorch.
FATWOOD_INLINE Vec largest(const float* plane, int width, const Window& window) {
  Vec most = load(plane + (window.top * width + window.left) * kLanes);
  for (int y = window.top; y < window.bottom; ++y) {
    for (int x = window.left; x < window.right; ++x) {
      const Vec v = load(plane + (y * width + x) * kLanes);
      most = ((v > most) | (v != v)) ? v : most;
    }
  }
  return most;
}

void max_pool(const MaxPool& job, float* out, float* stats) {
  const std::int64_t plane = static_cast<std::int64_t>(job.height) * job.width * kLanes;
  for (int c = 0; c < job.channels; ++c) {
    affine_activate_plane(job.in + c * plane, plane, job.scale[c], job.shift[c], job.slope,
                          job.scratch);
    Vec shift{};
    Vec once{};
    Vec twice{};
    for (int oy = 0; 2 * oy < job.height; ++oy) {
      for (int ox = 0; 2 * ox < job.width; ++ox, out += kLanes) {
        const Vec v = largest(job.scratch, job.width, window_of(oy, ox, job.height, job.width));
        store(out, v);
        if (oy == 0 && ox == 0) shift = v;
        const Vec d = v - shift;
        once += d;
        twice = multiply_add(d, d, twice);
      }
    }
    if (stats) {
      store(stats + c * 3 * kLanes, shift);
      store(stats + (c * 3 + 1) * kLanes, once);
      store(stats + (c * 3 + 2) * kLanes, twice);
    }
  }
}

/// Each window's gradient goes to its first largest value in row order, as in PyTorch; that of a
/// window with a NaN goes nowhere, and is NaN in any case.
void max_pool_backward(const MaxPool& job, const float* grad, float* out) {
  const std::int64_t plane = static_cast<std::int64_t>(job.height) * job.width * kLanes;
  for (int c = 0; c < job.channels; ++c, out += plane) {
    affine_activate_plane(job.in + c * plane, plane, job.scale[c], job.shift[c], job.slope,
                          job.scratch);
    for (std::int64_t i = 0; i < plane; i += kLanes) store(out + i, Vec{});
    for (int oy = 0; 2 * oy < job.height; ++oy) {
      for (int ox = 0; 2 * ox < job.width; ++ox, grad += kLanes) {
        const Window window = window_of(oy, ox, job.height, job.width);
        const Vec most = largest(job.scratch, job.width, window);
        const Vec g = load(grad);
        IntVec open = first_lanes(kLanes);
        for (int y = window.top; y < window.bottom; ++y) {
          for (int x = window.left; x < window.right; ++x) {
            const std::int64_t at = (static_cast<std::int64_t>(y) * job.width + x) * kLanes;
            const IntVec hit = open & (load(job.scratch + at) == most);
            store(out + at, load(out + at) + keep(hit, g));
            open &= ~hit;
          }
        }
      }
    }
    for (std::int64_t i = 0; i < plane; i += kLanes) {
      const Vec d = load(out + i);
      store(out + i, load(job.scratch + i) > 0 ? d : d * job.slope);
    }
  }
}

void mean_pool(int channels, int pixels, const float* in, const float* scale, const float* shift,
               float* out, float* stats) {
  for (int c = 0; c < channels; ++c, out += kLanes) {
    Vec sum{};
    for (int p = 0; p < pixels; ++p, in += kLanes) sum += load(in);
    const Vec mean =
        multiply_add(sum, splat(scale[c] / static_cast<float>(pixels)), splat(shift[c]));
    store(out, mean);
    if (stats) {
      store(stats + c * 3 * kLanes, mean);
      store(stats + (c * 3 + 1) * kLanes, Vec{});
      store(stats + (c * 3 + 2) * kLanes, Vec{});
    }
  }
}

void mean_pool_backward(int channels, int pixels, const float* grad, const float* a, float slope,
                        float* out) {
  const Vec share = splat(1.0F / static_cast<float>(pixels));
  for (int c = 0; c < channels; ++c, grad += kLanes) {
    const Vec d = load(grad) * share;
    for (int p = 0; p < pixels; ++p, a += kLanes, out += kLanes) {
      store(out, load(a) > 0 ? d : d * slope);
    }
  }
}

}  // namespace
}  // namespace fatwood::kernels
