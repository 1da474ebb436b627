// Stretches against the double-precision references: single convolutions over the whole range of
// shapes, random compositions, and what a stretch refuses.
#include <cmath>

#include <gmock/gmock.h>

#include <fatwood/core/error.h>
#include <fatwood/kernels/buffer.h>
#include <fatwood/kernels/stretch.h>
#include <fatwood/kernels/table.h>

#include "exact.h"
#include "forward_only.h"
#include "support.h"

namespace fatwood::kernels {
namespace {

using StretchOn = OnEveryIsa;
FATWOOD_ON_EVERY_ISA(StretchOn);

TEST_P(StretchOn, convolutions_of_all_shapes_agree_with_the_reference) {
  std::mt19937 random(17);
  const auto pick = [&](std::initializer_list<int> from) {
    return *(from.begin() + random() % from.size());
  };
  for (int trial = 0; trial < 100; ++trial) {
    const int ks = pick({1, 3, 3, 3, 5, 7});
    const int stride = pick({1, 2});
    const int height = 1 + static_cast<int>(random() % 33);
    const int width = 1 + static_cast<int>(random() % 33);
    int batch = trial % 25 == 0 ? 511 : 1 + static_cast<int>(random() % 17);
    const int c_in = pick({1, 2, 3, 7, 8, 9, 16, 17, 33, 64, 130});
    const int c_out = pick({1, 2, 8, 9, 10, 16, 24, 31, 32, 48, 64, 130});
    const double products = 1.0 * height * width * ks * ks * c_in * c_out / (stride * stride);
    batch = std::min(batch, static_cast<int>(3e6 / products));
    if (batch < 1) continue;
    // A norm over few values divides by a deviation that rounding can make.
    const bool norm = random() % 2 && batch * height * width >= 40;
    const Activation activation = pick({0, 1})   ? Activation{0.1F, 0.4F}
                                  : pick({0, 1}) ? Activation{0, 0}
                                                 : Activation{};
    SCOPED_TRACE(testing::Message()
                 << "trial " << trial << ": " << batch << " x " << c_in << " -> " << c_out << ", "
                 << ks << "/" << stride << ", " << height << "x" << width << ", norm " << norm
                 << ", slope " << activation.slope);
    Network network(static_cast<unsigned>(trial));
    expect_agreement(static_cast<unsigned>(trial),
                     {network.conv(c_in, c_out, ks, stride, activation, norm, random() % 2)},
                     {batch, {c_in, height, width}, 1 + trial % 3, isa(), true},
                     random() % 3 ? Mode::train : Mode::eval, 1e-4);
  }
}

TEST_P(StretchOn, a_convolution_over_one_pixel_reads_its_middle_tap) {
  for (int ks : {3, 5, 7}) {
    for (int stride : {1, 2}) {
      Network network(static_cast<unsigned>(ks));
      expect_agreement(9,
                       {network.conv(5, 20, 1, 1, {0.1F, 0.4F}, true, false),
                        network.conv(20, 33, ks, stride, {0.1F, 0.4F}, false, true)},
                       {37, {5, 1, 1}, 2, isa(), true}, Mode::train, 1e-4);
    }
  }
}

TEST_P(StretchOn, many_sums_are_gathered_over_several_groups) {
  for (int batch : {70, 65, 3}) {
    Network network(8);
    expect_agreement(
        10,
        {network.basic(90, 90, 1, {0, 0}), network.conv(90, 100, 3, 2, {0.1F, 0.4F}, true, false)},
        {batch, {90, 2, 2}, 2, isa(), true}, Mode::train, 2e-4);
  }
}

TEST_P(StretchOn, basic_blocks_agree_with_the_reference) {
  for (auto [height, width] : {std::pair{7, 7}, {4, 5}, {3, 2}, {1, 1}}) {
    for (auto [c_in, c_out, stride] :
         {std::tuple{8, 8, 1}, {3, 18, 2}, {20, 20, 2}, {5, 9, 1}, {64, 64, 1}}) {
      for (Mode mode : {Mode::train, Mode::eval}) {
        const int batch = height == 1 ? 70 : c_in == 64 ? 17 : 21;
        SCOPED_TRACE(testing::Message() << height << "x" << width << " " << c_in << " -> " << c_out
                                        << "/" << stride << " mode " << static_cast<int>(mode));
        Network network(static_cast<unsigned>(c_in + height));
        // Twice: the second reads a sum, which the first does not.
        expect_agreement(
            11, {network.basic(c_in, c_out, stride, {0, 0}), network.basic(c_out, 12, 1, {0, 0})},
            {batch, {c_in, height, width}, 2, isa(), stride == 2}, mode, 2e-4);
      }
    }
  }
}

TEST_P(StretchOn, stems_and_heads_agree_with_the_reference) {
  for (auto [height, width] : {std::pair{12, 13}, {7, 4}, {2, 1}, {1, 1}}) {
    for (int ks : {3, 7}) {
      SCOPED_TRACE(testing::Message() << height << "x" << width << ", kernel " << ks);
      Network network(static_cast<unsigned>(ks + height));
      expect_agreement(12, {network.stem(2, 19, ks, 2, {0, 0}), network.head(19, 10)},
                       {45, {2, height, width}, 2, isa(), ks == 3}, Mode::train, 2e-4);
    }
    // A mean over a value that still has its norm, or its activation, to come.
    for (bool norm : {true, false}) {
      Network network(3);
      expect_agreement(
          13, {network.conv(3, 17, 3, 1, {0.1F, 0.4F}, norm, !norm), network.head(17, 5)},
          {33, {3, height, width}, 1, isa(), true}, norm ? Mode::train : Mode::eval, 2e-4);
    }
  }
}

TEST_P(StretchOn, max_pooling_keeps_a_nan_wherever_it_is_in_a_window) {
  const int height = 5;
  const int width = 4;
  const int lanes = lanes_of(isa());
  const float one = 1;
  const float zero = 0;
  for (int at = 0; at < height * width; ++at) {
    ref::Tensor x(1, 1, height, width);
    Buffer<float> in(static_cast<std::size_t>(height * width * lanes));
    for (int pixel = 0; pixel < height * width; ++pixel) {
      const float value = pixel == at ? NAN : static_cast<float>(1 + 7 * pixel % 11);
      x.values[static_cast<std::size_t>(pixel)] = value;
      in[static_cast<std::size_t>(pixel * lanes + lanes - 1)] = value;
    }
    Buffer<float> scratch(in.size());
    Buffer<float> out(in.size());
    table_for(isa()).layers.max_pool({1, height, width, in.data(), &one, &zero, 0, scratch.data()},
                                     out.data(), nullptr);
    const ref::Tensor wanted = ref::max_pool(x);
    int kept = 0;
    for (std::size_t i = 0; i < wanted.values.size(); ++i) {
      const float found = out[(i + 1) * static_cast<std::size_t>(lanes) - 1];
      if (std::isnan(wanted.values[i])) {
        EXPECT_TRUE(std::isnan(found)) << "NaN at " << at << ", window " << i;
        ++kept;
      } else {
        EXPECT_EQ(found, wanted.values[i]) << "NaN at " << at << ", window " << i;
      }
    }
    EXPECT_GE(kept, 1) << at;
  }
}

TEST_P(StretchOn, random_compositions_agree_with_the_reference) {
  std::mt19937 random(23);
  for (int trial = 0; trial < 40; ++trial) {
    Network network(static_cast<unsigned>(100 + trial));
    const int size = 3 + static_cast<int>(random() % 9);
    const int batch = 6 + static_cast<int>(random() % 14);
    int channels = 1 + static_cast<int>(random() % 9);
    const ImageShape input{channels, size, size + static_cast<int>(random() % 3)};
    // Without a corner in the activation a wrong term cannot hide behind a value that changed
    // sides.
    const Activation activation = trial % 2 ? Activation{1, 0.4F} : Activation{0.1F, 0.4F};
    std::vector<LayerSpec> layers;
    std::string description;
    for (int i = 0; i < 1 + trial % 4; ++i) {
      const int c_out = random() % 3 ? 1 + static_cast<int>(random() % 20) : channels;
      const int ks = random() % 4 ? 3 : random() % 2 ? 1 : 5;
      const int stride = 1 + static_cast<int>(random() % 2);
      const bool norm = random() % 3 != 0;
      // A stem comes first: behind pooling, windows would hold equal values.
      const int kind = static_cast<int>(random() % (i == 0 ? 5 : 4));
      description += " " + std::to_string(kind) + ":" + std::to_string(channels) + "->" +
                     std::to_string(c_out) + " " + std::to_string(ks) + "/" +
                     std::to_string(stride) + (norm ? "n" : "");
      if (kind == 0)
        layers.emplace_back(network.conv(channels, c_out, ks, stride, activation, norm, !norm));
      if (kind == 1)
        layers.emplace_back(network.residual(channels, c_out, ks, stride, activation, norm));
      if (kind == 2) {
        layers.emplace_back(
            DoubleSpec{network.conv(channels, c_out, ks, 1, activation, norm, !norm),
                       network.conv(c_out, c_out, ks, stride, activation, norm, !norm)});
      }
      const Activation relu = activation.slope == 1 ? Activation{} : Activation{0, 0};
      if (kind == 3) layers.emplace_back(network.basic(channels, c_out, stride, relu));
      if (kind == 4) layers.emplace_back(network.stem(channels, c_out, ks, stride, relu));
      channels = c_out;
    }
    if (trial % 3 == 1) layers.emplace_back(network.head(channels, 7));
    SCOPED_TRACE("trial " + std::to_string(trial) + ":" + description);
    expect_agreement(static_cast<unsigned>(trial), layers,
                     {batch, input, 1 + trial % 2, isa(), trial % 3 != 0},
                     trial % 5 == 4 ? Mode::eval : Mode::train, 1e-3);
    expect_the_same_without_keeping(layers, {batch, input, 1 + trial % 2, isa()});
  }
}

TEST_P(StretchOn, the_same_step_gives_the_same_bits) {
  const auto run = [&] {
    Network network(3);
    std::vector<LayerSpec> layers{network.residual(3, 8, 3, 2, {0.1F, 0.4F}, true),
                                  network.conv(8, 5, 3, 2, {}, true, false)};
    Stretch stretch(layers, {37, {3, 9, 9}, 2, isa(), true});
    const auto x = normal(37 * 3 * 81, 1);
    const auto g = normal(37 * 5 * 9, 2);
    std::vector<float> out(g.size()), grad_x(x.size());
    stretch.forward(x.data(), out.data(), Mode::train, threads(2));
    stretch.backward(g.data(), grad_x.data(), threads(2));
    const auto& block = std::get<ResidualSpec>(layers[0]);
    out.insert(out.end(), grad_x.begin(), grad_x.end());
    out.insert(out.end(), block.a.weight.grad, block.a.weight.grad + 8 * 3 * 9);
    return out;
  };
  EXPECT_EQ(run(), run());
}

TEST_P(StretchOn, a_backward_pass_takes_other_numbers_of_threads_than_were_planned) {
  const auto gradients = [&](int planned, int backwards) {
    Network network(14);
    const std::vector<LayerSpec> layers{network.conv(3, 9, 3, 1, {0.1F, 0.4F}, true, false),
                                        network.conv(9, 20, 3, 2, {0.1F, 0.4F}, true, false)};
    Stretch stretch(layers, {.batch = 37,
                             .input = {3, 9, 9},
                             .threads = planned,
                             .isa = isa(),
                             .input_gradient = true});
    const auto x = normal(37 * 3 * 81, 1);
    const auto g = normal(37 * 20 * 25, 2);
    std::vector<float> out(g.size()), all(x.size());
    stretch.forward(x.data(), out.data(), Mode::train, threads(planned));
    stretch.backward(g.data(), all.data(), threads(backwards));
    for (const LayerSpec& layer : layers) {
      const auto& conv = std::get<ConvSpec>(layer);
      all.insert(all.end(), conv.weight.grad, conv.weight.grad + conv.c_out * conv.c_in * 9);
      all.insert(all.end(), conv.norm->weight.grad, conv.norm->weight.grad + conv.c_out);
    }
    return all;
  };
  EXPECT_EQ(gradients(1, 3), gradients(1, 1));
  EXPECT_EQ(gradients(3, 1), gradients(3, 3));
}

TEST_P(StretchOn, statistics_and_histogram_are_those_of_the_true_output) {
  Network network(4);
  std::vector<LayerSpec> layers{network.conv(2, 12, 3, 1, {0.1F, 0.4F}, true, false),
                                network.residual(12, 20, 3, 2, {0.1F, 0.4F}, true)};
  const int batch = 19;
  for (std::size_t layer = 0; layer < 2; ++layer) {
    const std::vector<LayerSpec> part(layers.begin(),
                                      layers.begin() + static_cast<std::ptrdiff_t>(layer) + 1);
    Stretch stretch(part, {batch, {2, 7, 6}, 2, isa(), false});
    const auto x = normal(batch * 2 * 42, 8);
    const ImageShape shape = stretch.output_shape();
    std::vector<float> out(
        static_cast<std::size_t>(batch * shape.channels * shape.height * shape.width));
    stretch.watch(true);
    stretch.forward(x.data(), out.data(), Mode::train, threads(2));
    const Moments wanted = moments(out);
    const Moments found = stretch.moments(layer);
    EXPECT_EQ(found.count, wanted.count);
    EXPECT_NEAR(found.mean, wanted.mean, 1e-5);
    EXPECT_NEAR(found.std(), wanted.std(), 1e-5);
    std::vector<std::int64_t> counts(kHistogramBins), wanted_counts(kHistogramBins);
    stretch.histogram(layer, kHistogramTop, counts, threads(2));
    absolute_histogram(out, kHistogramTop, wanted_counts);
    EXPECT_EQ(counts, wanted_counts);
  }
}

TEST(Stretch, refuses_what_it_has_no_kernels_for_and_says_why) {
  const auto message = [](ConvSpec spec) {
    try {
      Stretch stretch({spec}, {4, {3, 8, 8}});
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::model);
      return std::string(error.what());
    }
    return std::string("nothing was thrown");
  };
  ConvSpec spec;
  spec.c_in = 3;
  spec.ks = 4;
  EXPECT_THAT(message(spec), testing::HasSubstr("layer 0: kernel size: found 4"));
  spec.ks = 3;
  spec.stride = 3;
  EXPECT_THAT(message(spec), testing::HasSubstr("stride: found 3, wanted 1 or 2"));
  spec.stride = 1;
  spec.activation.slope = -0.1F;
  EXPECT_THAT(message(spec), testing::HasSubstr("slope"));
  spec.activation.slope = 0;
  spec.c_in = 2;
  EXPECT_THAT(message(spec), testing::HasSubstr("input (3, 8, 8), wanted 2 channels"));
}

TEST(Stretch, a_norm_over_one_value_is_an_error_of_the_data) {
  Network network(5);
  Stretch stretch({network.conv(1, 2, 3, 1, {}, true, false)}, {1, {1, 1, 1}});
  const float x = 1;
  float out[2];
  try {
    stretch.forward(&x, out, Mode::train);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::data);
  }
  stretch.forward(&x, out, Mode::eval);
}

TEST(Stretch, backward_runs_once_after_a_forward_pass) {
  Network network(6);
  Stretch stretch({network.conv(1, 2, 3, 1, {}, false, true)}, {2, {1, 3, 3}});
  std::vector<float> x(18), out(36);
  EXPECT_THROW(stretch.backward(out.data(), nullptr), Error);
  stretch.forward(x.data(), out.data(), Mode::train);
  EXPECT_THROW(stretch.backward(out.data(), x.data()), Error);  // planned without input gradient
  stretch.backward(out.data(), nullptr);
  EXPECT_THROW(stretch.backward(out.data(), nullptr), Error);
}

TEST(Stretch, a_histogram_of_too_many_bins_is_refused) {
  Network network(15);
  Stretch stretch({network.conv(1, 2, 3, 1, {}, false, true)}, {2, {1, 3, 3}});
  const std::vector<float> x(18);
  std::vector<float> out(36);
  stretch.forward(x.data(), out.data(), Mode::eval);
  std::vector<std::int64_t> counts(1025);
  EXPECT_THROW(stretch.histogram(0, 10, counts), Error);
}

TEST(Stretch, kernels_of_the_callers_own_do_the_work) {
  static const LayerKernels& usual = layer_kernels_for(default_isa(), Precision::f32);
  static int calls;
  calls = 0;
  LayerKernels counted = usual;
  counted.correlate = [](const Correlate& job) {
    ++calls;
    usual.correlate(job);
  };
  const int groups = 3;
  StretchOptions options;
  options.batch = groups * lanes_of(default_isa());
  options.input = {2, 5, 5};
  Network network(7);
  const std::vector<LayerSpec> layers{network.conv(2, 3, 3, 1, {0.1F, 0.4F}, true, false)};
  const auto x = normal(static_cast<std::size_t>(options.batch) * 2 * 25, 1);
  const auto run = [&] {
    std::vector<float> out(static_cast<std::size_t>(options.batch) * 3 * 25);
    Stretch(layers, options).forward(x.data(), out.data(), Mode::train);
    return out;
  };
  const auto wanted = run();
  options.kernels = &counted;
  EXPECT_EQ(run(), wanted);
  EXPECT_EQ(calls, groups);
}

}  // namespace
}  // namespace fatwood::kernels
