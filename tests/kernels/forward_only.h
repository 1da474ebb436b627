// A stretch that is planned for forward passes alone, beside one that keeps its values.
#pragma once

#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/kernels/moments.h>
#include <fatwood/kernels/stretch.h>

#include "support.h"

namespace fatwood::kernels {

/// Forward passes of a plan without a backward pass, whose values share memory: of each kind two,
/// since the second finds what the first has left there.
inline void expect_the_same_without_keeping(const std::vector<LayerSpec>& layers,
                                            StretchOptions options) {
  options.input_gradient = false;
  for (const WinogradUse winograd : {WinogradUse::gradients, WinogradUse::everywhere}) {
    options.winograd = winograd;
    options.keeps_values = true;
    Stretch keeps(layers, options);
    options.keeps_values = false;
    Stretch shares(layers, options);
    EXPECT_LT(shares.bytes(), keeps.bytes());
    const ImageShape& in = options.input;
    const ImageShape shape = keeps.output_shape();
    const auto floats = [&](const ImageShape& image) {
      return static_cast<std::size_t>(options.batch) * static_cast<std::size_t>(image.channels) *
             static_cast<std::size_t>(image.height) * static_cast<std::size_t>(image.width);
    };
    for (const Mode mode : {Mode::eval, Mode::eval, Mode::train, Mode::train, Mode::eval}) {
      const auto x = normal(floats(in), static_cast<unsigned>(mode));
      std::vector<float> wanted(floats(shape)), found(floats(shape));
      for (Stretch* stretch : {&keeps, &shares}) stretch->watch(mode == Mode::train);
      keeps.forward(x.data(), wanted.data(), mode, threads(2));
      shares.forward(x.data(), found.data(), mode, threads(2));
      EXPECT_EQ(found, wanted) << "mode " << static_cast<int>(mode);
      if (mode == Mode::train) {
        EXPECT_EQ(shares.moments(0).mean, keeps.moments(0).mean);
      }
    }
    std::vector<std::int64_t> counts(kHistogramBins);
    EXPECT_THROW(shares.histogram(0, kHistogramTop, counts), Error);
    std::vector<float> grad(floats(shape));
    EXPECT_THROW(shares.backward(grad.data(), nullptr), Error);
  }
}

}  // namespace fatwood::kernels
