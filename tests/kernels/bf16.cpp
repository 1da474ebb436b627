// Stretches in bf16. Small integers are exact in it, so single convolutions are held to the very
// values of the reference; networks of random numbers to as many roundings as lie in their way.
#include <bit>
#include <cmath>

#include <gmock/gmock.h>

#include <fatwood/core/error.h>
#include <fatwood/kernels/bf16_packing.h>
#include <fatwood/kernels/stretch.h>
#include <fatwood/kernels/table.h>

#include "exact.h"
#include "forward_only.h"
#include "support.h"

namespace fatwood::kernels {
namespace {

using Bf16On = OnEveryIsa;
FATWOOD_ON_EVERY_ISA(Bf16On);

constexpr double kExact = 1e-30;
constexpr double kUnit = 1.0 / 512;  // half of the distance between neighbours around 1

StretchOptions in_bf16(int batch, const ImageShape& input, int threads, Isa isa) {
  return {.batch = batch,
          .input = input,
          .threads = threads,
          .isa = isa,
          .input_gradient = true,
          .precision = Precision::bf16};
}

/// Forward and backward pass over integers, every result equal to the reference's.
void expect_exact(unsigned seed, const LayerSpec& layer, const StretchOptions& options) {
  const ImageShape& in = options.input;
  const auto n = static_cast<std::size_t>(options.batch) * static_cast<std::size_t>(in.channels) *
                 static_cast<std::size_t>(in.height) * static_cast<std::size_t>(in.width);
  const auto x = signs(n, seed, 0.7);
  const auto reference = exact_layer(layer);
  const ref::Tensor y = reference->forward(
      exact(x.data(), options.batch, in.channels, in.height, in.width), Mode::train);
  Stretch stretch({layer}, options);
  std::vector<float> found(y.values.size(), std::nanf(""));
  std::vector<float> grad_x(x.size(), std::nanf(""));
  stretch.forward(x.data(), found.data(), Mode::train, threads(options.threads));
  EXPECT_LT(error(found.data(), y.values), kExact) << "output";
  const auto grad = signs(found.size(), seed + 1, 0.7, 2);  // halved where the slope is a half
  stretch.backward(grad.data(), grad_x.data(), threads(options.threads));
  const ref::Tensor g = reference->backward(exact(grad.data(), y.n, y.c, y.h, y.w), Mode::train,
                                            {.gradient = kExact});
  EXPECT_LT(error(grad_x.data(), g.values), kExact) << "input";
}

TEST_P(Bf16On, convolutions_of_integers_are_exact_in_all_shapes) {
  std::mt19937 random(29);
  const auto pick = [&](std::initializer_list<int> from) {
    return *(from.begin() + random() % from.size());
  };
  for (int trial = 0; trial < 150; ++trial) {
    const int ks = pick({1, 3, 3, 3, 5, 7});
    const int stride = pick({1, 2});
    const int height = 1 + static_cast<int>(random() % 33);
    const int width = 1 + static_cast<int>(random() % 33);
    int batch = trial % 25 == 0 ? 511 : 1 + static_cast<int>(random() % 37);
    const int c_in = pick({1, 2, 3, 7, 8, 9, 16, 17, 33, 64, 130});
    const int c_out = pick({1, 2, 3, 4, 5, 8, 9, 10, 16, 24, 31, 32, 48, 64, 130});
    const double products = 1.0 * height * width * ks * ks * c_in * c_out / (stride * stride);
    batch = std::min(batch, static_cast<int>(3e6 / products));
    if (batch < 1) continue;
    SCOPED_TRACE(testing::Message()
                 << "trial " << trial << ": " << batch << " x " << c_in << " -> " << c_out << ", "
                 << ks << "/" << stride << ", " << height << "x" << width);
    // Sums of about 60 signs at most, of either pass, stay far below 256.
    const double terms = 1.0 * ks * ks * std::max(c_in, c_out);
    Network network(static_cast<unsigned>(trial), std::min(0.7, 60 / terms));
    const Activation activation = pick({0, 1}) ? Activation{0.5F, 1} : Activation{};
    expect_exact(static_cast<unsigned>(trial),
                 network.conv(c_in, c_out, ks, stride, activation, false, random() % 2),
                 in_bf16(batch, {c_in, height, width}, 1 + trial % 3, isa()));
  }
}

/// Roundings on the way through a network, each of kUnit of the largest value: of a convolution's
/// input, weights and output.
double roundings(int convolutions) {
  return 3 * kUnit * convolutions;
}

TEST_P(Bf16On, random_compositions_stay_within_their_roundings) {
  std::mt19937 random(31);
  for (int trial = 0; trial < 40; ++trial) {
    Network network(static_cast<unsigned>(200 + trial));
    const int size = 3 + static_cast<int>(random() % 9);
    const int batch = 20 + static_cast<int>(random() % 14);
    int channels = 1 + static_cast<int>(random() % 9);
    const ImageShape input{channels, size, size + static_cast<int>(random() % 3)};
    // No corner: a value that rounding moves past one changes a gradient by more than rounding.
    const Activation activation{1, 0.4F};
    std::vector<LayerSpec> layers;
    std::string description;
    int convolutions = 0;
    for (int i = 0; i < 1 + trial % 4; ++i) {
      const int c_out = random() % 3 ? 1 + static_cast<int>(random() % 20) : channels;
      const int ks = random() % 4 ? 3 : random() % 2 ? 1 : 5;
      const int stride = 1 + static_cast<int>(random() % 2);
      const bool norm = random() % 3 != 0;
      const int kind = static_cast<int>(random() % 3);
      description += " " + std::to_string(kind) + ":" + std::to_string(channels) + "->" +
                     std::to_string(c_out) + " " + std::to_string(ks) + "/" +
                     std::to_string(stride) + (norm ? "n" : "");
      convolutions += kind == 0 ? 1 : 2;
      if (kind == 0)
        layers.emplace_back(network.conv(channels, c_out, ks, stride, activation, norm, !norm));
      if (kind == 1)
        layers.emplace_back(network.residual(channels, c_out, ks, stride, activation, norm));
      if (kind == 2) {
        layers.emplace_back(
            DoubleSpec{network.conv(channels, c_out, ks, 1, activation, norm, !norm),
                       network.conv(c_out, c_out, ks, stride, activation, norm, !norm)});
      }
      channels = c_out;
    }
    SCOPED_TRACE("trial " + std::to_string(trial) + ":" + description);
    expect_agreement(static_cast<unsigned>(trial), layers,
                     in_bf16(batch, input, 1 + trial % 2, isa()),
                     trial % 5 == 4 ? Mode::eval : Mode::train,
                     {.gradient = 2 * roundings(convolutions),
                      .output = roundings(convolutions),
                      .running = roundings(convolutions),
                      .sums_by_terms = true});
    expect_the_same_without_keeping(layers, in_bf16(batch, input, 1 + trial % 2, isa()));
  }
}

TEST_P(Bf16On, values_are_rounded_to_nearest_and_ties_to_even) {
  // Through a convolution by 1 and nothing else; an image a value.
  std::vector<float> x;
  for (const std::uint32_t bits :
       {0x3f800000U, 0x3f808000U, 0x3f808001U, 0x3f818000U, 0x3f817fffU, 0x7f7fffffU, 0x7f800000U,
        0x7fc00000U, 0x7f800001U, 0x7fffffffU, 0x3effffffU, 0x00000000U, 0x4b7fffffU}) {
    x.push_back(std::bit_cast<float>(bits));
    x.push_back(std::bit_cast<float>(bits | 0x80000000U));
  }
  const float one = 1;
  ConvSpec spec;
  spec.ks = 1;
  spec.weight.value = &one;
  const int batch = static_cast<int>(x.size());
  Stretch stretch({spec}, in_bf16(batch, {1, 1, 1}, 1, isa()));
  std::vector<float> out(x.size());
  stretch.forward(x.data(), out.data(), Mode::train);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float wanted = from_bf16(bf16_bits(x[i]));
    if (std::isnan(x[i])) {
      EXPECT_TRUE(std::isnan(wanted) && std::isnan(out[i])) << i;
    } else {
      EXPECT_EQ(out[i], wanted) << std::hexfloat << x[i];
    }
  }
  EXPECT_EQ(from_bf16(bf16_bits(1 + 1.0F / 256)), 1);               // a tie, down to even
  EXPECT_EQ(from_bf16(bf16_bits(1 + 3.0F / 256)), 1 + 4.0F / 256);  // and up
}

TEST_P(Bf16On, the_same_step_gives_the_same_bits) {
  const auto run = [&] {
    Network network(3);
    std::vector<LayerSpec> layers{network.residual(3, 9, 3, 2, {0.1F, 0.4F}, true),
                                  network.conv(9, 5, 3, 2, {}, true, false)};
    Stretch stretch(layers, in_bf16(37, {3, 9, 9}, 2, isa()));
    const auto x = normal(std::size_t{37} * 3 * 81, 1);
    const auto g = normal(std::size_t{37} * 5 * 9, 2);
    std::vector<float> out(g.size()), grad_x(x.size());
    stretch.forward(x.data(), out.data(), Mode::train, threads(2));
    stretch.backward(g.data(), grad_x.data(), threads(2));
    const auto& block = std::get<ResidualSpec>(layers[0]);
    out.insert(out.end(), grad_x.begin(), grad_x.end());
    out.insert(out.end(), block.a.weight.grad, block.a.weight.grad + std::ptrdiff_t{9} * 3 * 9);
    return out;
  };
  EXPECT_EQ(run(), run());
}

TEST_P(Bf16On, statistics_and_histogram_are_those_of_the_output) {
  for (const int c_out : {12, 13}) {
    Network network(4);
    const int batch = 19;
    Stretch stretch({network.conv(2, c_out, 3, 1, {0.1F, 0.4F}, true, false)},
                    in_bf16(batch, {2, 7, 6}, 2, isa()));
    const auto x = normal(std::size_t{batch} * 2 * 42, 8);
    std::vector<float> out(std::size_t{batch} * static_cast<std::size_t>(c_out) * 42);
    stretch.watch(true);
    stretch.forward(x.data(), out.data(), Mode::train, threads(2));
    const Moments wanted = moments(out);
    const Moments found = stretch.moments(0);
    EXPECT_EQ(found.count, wanted.count);
    EXPECT_NEAR(found.mean, wanted.mean, kUnit * wanted.std());
    EXPECT_NEAR(found.std(), wanted.std(), kUnit * wanted.std());
    std::vector<std::int64_t> counts(kHistogramBins), wanted_counts(kHistogramBins);
    stretch.histogram(0, kHistogramTop, counts, threads(2));
    absolute_histogram(out, kHistogramTop, wanted_counts);
    EXPECT_EQ(counts, wanted_counts);
  }
}

TEST(Bf16, takes_half_the_memory_of_f32) {
  Network network(9);
  const std::vector<LayerSpec> layers{network.residual(16, 32, 3, 2, {0.1F, 0.4F}, true)};
  StretchOptions options = in_bf16(512, {16, 14, 14}, 2, default_isa());
  const auto bf16 = static_cast<double>(Stretch(layers, options).bytes());
  options.precision = Precision::f32;
  EXPECT_LT(bf16, 0.6 * static_cast<double>(Stretch(layers, options).bytes()));
}

TEST(Bf16, refuses_layers_whose_norm_comes_before_the_activation) {
  Network network(10);
  for (const LayerSpec& layer :
       {LayerSpec{network.basic(8, 8, 1, {0, 0})}, LayerSpec{network.stem(8, 8, 3, 2, {0, 0})},
        LayerSpec{network.head(8, 10)}}) {
    EXPECT_FALSE(has_bf16_kernels(layer));
    try {
      const Stretch stretch({layer}, in_bf16(4, {8, 8, 8}, 1, default_isa()));
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::model);
      EXPECT_THAT(error.what(), testing::HasSubstr("layer 0: found precision bf16"));
    }
  }
}

TEST(Bf16, has_an_instruction_set_of_its_own_that_leaves_f32_as_it_is) {
  for (const Isa isa : isas_here()) {
    EXPECT_NE(layer_kernels_for(isa, Precision::bf16).correlate,
              layer_kernels_for(isa, Precision::f32).correlate);
    if (isa != Isa::avx512_bf16) continue;
    EXPECT_EQ(&layer_kernels_for(isa, Precision::f32),
              &layer_kernels_for(Isa::avx512, Precision::f32));
    EXPECT_NE(&layer_kernels_for(isa, Precision::bf16),
              &layer_kernels_for(Isa::avx512, Precision::bf16));
  }
}

}  // namespace
}  // namespace fatwood::kernels
