// The one shape that convolution and its input gradient share: a correlation along two axes. A
// convolution's forward pass is one; its input gradient is one for stride 1 and, for stride 2, one
// for every parity of (row, column), because an input pixel meets only the taps of its own parity.
#pragma once

#include <cstdint>

namespace fatwood::kernels {

/// Output o of [0, count) reads input positions origin + step·o + t for t in [0, taps), as far as
/// they lie in [0, extent), and is written at first + spacing·o.
struct Axis {
  int extent = 0;
  int count = 0;
  int step = 1;
  int origin = 0;
  int taps = 0;
  int first = 0;
  int spacing = 1;

  /// Taps of output o that fall off the low end, and off the high end.
  constexpr int low(int o) const { return clamp(-(origin + step * o)); }
  constexpr int high(int o) const { return clamp(origin + step * o + taps - extent); }

  /// Outputs that miss the same taps share a border class; no end cuts off more than half.
  constexpr int reach() const { return taps / 2; }
  constexpr int border_class(int o) const { return low(o) * (reach() + 1) + high(o); }
  constexpr int border_classes() const { return (reach() + 1) * (reach() + 1); }

 private:
  constexpr int clamp(int missing) const {
    return missing < 0 ? 0 : missing > taps ? taps : missing;
  }
};

/// Forward: odd kernel `ks`, padding ks/2, `stride` 1 or 2.
constexpr Axis forward_axis(int extent, int ks, int stride) {
  return {.extent = extent,
          .count = (extent + 2 * (ks / 2) - ks) / stride + 1,
          .step = stride,
          .origin = -(ks / 2),
          .taps = ks};
}

/// How an axis of the input gradient reads the output's gradient: tap t is the kernel's tap
/// kernel_tap - stride·t. Input position x = first + stride·i meets output position
/// (x + ks/2 - k)/stride for each k that divides.
struct GradientAxis {
  Axis axis;
  int kernel_tap = 0;
};

/// `extent`: the convolution's input; parity in [0, stride).
constexpr GradientAxis gradient_axis(int extent, int ks, int stride, int parity) {
  const int pad = ks / 2;
  const int outputs = forward_axis(extent, ks, stride).count;
  int largest = ks - 1;
  while (largest >= 0 && (parity + pad - largest) % stride != 0) --largest;
  const int taps = largest < 0 ? 0 : largest / stride + 1;
  return {.axis = {.extent = outputs,
                   .count = (extent - parity + stride - 1) / stride,
                   .step = 1,
                   .origin = largest < 0 ? 0 : (parity + pad - largest) / stride,
                   .taps = taps,
                   .first = parity,
                   .spacing = stride},
          .kernel_tap = largest};
}

}  // namespace fatwood::kernels
