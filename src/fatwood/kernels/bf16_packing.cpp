#include <algorithm>
#include <vector>

#include <fatwood/kernels/bf16_packing.h>

namespace fatwood::kernels {
namespace {

/// Where channel `channel` of a pair goes, as 16-bit values.
std::uint16_t* halves(float* lanes) {
  return reinterpret_cast<std::uint16_t*>(lanes);
}

}  // namespace

std::int64_t bf16_packed_weights_size(const ConvShape& conv, int block) {
  return static_cast<std::int64_t>(round_up(conv.c_out, block)) * (round_up(conv.c_in, 2) / 2) *
         conv.taps();
}

std::int64_t bf16_packed_gradient_size(const ConvShape& conv, int block, const GradientAxis& y,
                                       const GradientAxis& x) {
  return static_cast<std::int64_t>(round_up(conv.c_in, block)) * (round_up(conv.c_out, 2) / 2) *
         y.axis.taps * x.axis.taps;
}

void bf16_pack_forward(const ConvShape& conv, int block, const float* weight, const float* scale,
                       const float* shift, const float* bias, float* packed, float* table,
                       const ParallelFor& parallel) {
  const int taps = conv.taps();
  const std::int64_t per_output = static_cast<std::int64_t>(conv.c_in) * taps;
  const std::int64_t per_block =
      static_cast<std::int64_t>(round_up(conv.c_in, 2) / 2) * taps * block;
  parallel.for_each_part(
      round_up(conv.c_out, block) / block, 1, [&](int, std::int64_t begin, std::int64_t end) {
        constexpr int kMostTaps = 31 * 31;
        double tap_bias[kMostTaps * kMostChannelBlock];
        for (std::int64_t b = begin; b < end; ++b) {
          const std::int64_t first = b * block;
          const int channels = static_cast<int>(std::min<std::int64_t>(block, conv.c_out - first));
          float* to = packed + b * per_block;
          std::fill_n(to, per_block, 0.0F);
          std::fill_n(tap_bias, static_cast<std::int64_t>(taps) * block, 0.0);
          for (int j = 0; j < channels; ++j) {
            const float* from = weight + (first + j) * per_output;
            for (int c = 0; c < conv.c_in; ++c, from += taps) {
              const float s = scale ? scale[c] : 1.0F;
              const double t = shift ? static_cast<double>(shift[c]) : 0;
              const double t_of_scaled = s == 0 ? 0 : t / static_cast<double>(s);
              std::uint16_t* pairs =
                  halves(to + (static_cast<std::int64_t>(c / 2) * taps * block + j)) + c % 2;
              for (std::ptrdiff_t k = 0; k < taps; ++k) {
                const std::uint16_t w = bf16_bits(from[k] * s);
                pairs[k * block * 2] = w;
                if (!shift) continue;
                tap_bias[k * block + j] += s == 0 ? t * static_cast<double>(from[k])
                                                  : t_of_scaled * static_cast<double>(from_bf16(w));
              }
            }
          }
          if (table) {
            fill_bias_table(conv, block, tap_bias, bias ? bias + first : nullptr, channels,
                            table + b * block * conv.border_classes());
          }
        }
      });
}

void bf16_pack_gradient(const ConvShape& conv, int block, const float* weight,
                        const GradientAxis& y, const GradientAxis& x, float* packed,
                        const ParallelFor& parallel) {
  const int taps = conv.taps();
  const int kept = y.axis.taps * x.axis.taps;
  const std::int64_t per_pair = static_cast<std::int64_t>(kept) * block;
  const std::int64_t per_block = per_pair * (round_up(conv.c_out, 2) / 2);
  parallel.for_each_part(
      round_up(conv.c_in, block) / block, 1, [&](int, std::int64_t begin, std::int64_t end) {
        for (std::int64_t b = begin; b < end; ++b) {
          const std::int64_t first = b * block;
          const int channels = static_cast<int>(std::min<std::int64_t>(block, conv.c_in - first));
          float* to = packed + b * per_block;
          std::fill_n(to, per_block, 0.0F);
          for (int o = 0; o < conv.c_out; ++o) {
            const float* from = weight + (static_cast<std::int64_t>(o) * conv.c_in + first) * taps;
            std::uint16_t* pairs = halves(to + o / 2 * per_pair) + o % 2;
            for (int ty = 0; ty < y.axis.taps; ++ty) {
              const int ky = y.kernel_tap - conv.stride * ty;
              for (int tx = 0; tx < x.axis.taps; ++tx, pairs += std::ptrdiff_t{2} * block) {
                const std::ptrdiff_t k = ky * conv.ks + x.kernel_tap - conv.stride * tx;
                for (std::ptrdiff_t j = 0; j < channels; ++j) {
                  pairs[2 * j] = bf16_bits(from[j * taps + k]);
                }
              }
            }
          }
        }
      });
}

}  // namespace fatwood::kernels
