#include <algorithm>

#include <fatwood/kernels/packing.h>
#include <fatwood/kernels/winograd.h>

namespace fatwood::kernels {

void fill_bias_table(const ConvShape& conv, int block, const double* tap_bias, const float* bias,
                     int channels, float* table) {
  const int half = conv.ks / 2 + 1;
  for (int y = 0; y < half * half; ++y) {
    for (int x = 0; x < half * half; ++x, table += block) {
      for (int j = 0; j < block; ++j) {
        double sum = bias && j < channels ? bias[j] : 0.0F;
        for (int ky = y / half; ky < conv.ks - y % half; ++ky) {
          for (int kx = x / half; kx < conv.ks - x % half; ++kx) {
            sum += tap_bias[(ky * conv.ks + kx) * block + j];
          }
        }
        table[j] = static_cast<float>(sum);
      }
    }
  }
}

std::int64_t packed_weights_size(const ConvShape& conv, int block) {
  return static_cast<std::int64_t>(round_up(conv.c_out, block)) * conv.c_in * conv.taps();
}

std::int64_t bias_table_size(const ConvShape& conv, int block) {
  return static_cast<std::int64_t>(round_up(conv.c_out, block)) * conv.border_classes();
}

void pack_forward(const ConvShape& conv, int block, const float* weight, const float* scale,
                  const float* shift, const float* bias, float* packed, float* table,
                  const ParallelFor& parallel) {
  const int taps = conv.taps();
  const std::int64_t per_output = static_cast<std::int64_t>(conv.c_in) * taps;
  const std::int64_t per_block = per_output * block;
  parallel.for_each_part(
      round_up(conv.c_out, block) / block, 1, [&](int, std::int64_t begin, std::int64_t end) {
        constexpr int kMostTaps = 31 * 31;
        double tap_bias[kMostTaps * kMostChannelBlock];
        for (std::int64_t b = begin; b < end; ++b) {
          const int first = static_cast<int>(b) * block;
          const int channels = std::min(block, conv.c_out - first);
          float* to = packed ? packed + b * per_block : nullptr;
          std::fill_n(tap_bias, taps * block, 0.0);
          for (int j = 0; j < block; ++j) {
            const float* from = weight + (first + j) * per_output;
            for (int c = 0; c < conv.c_in; ++c) {
              const float s = j >= channels ? 0.0F : scale ? scale[c] : 1.0F;
              for (int k = 0; packed && k < taps; ++k) {
                to[(c * taps + k) * block + j] = j < channels ? from[c * taps + k] * s : 0.0F;
              }
              if (shift && j < channels) {
                const double t = shift[c];
                for (int k = 0; k < taps; ++k) tap_bias[k * block + j] += t * from[c * taps + k];
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

std::int64_t packed_gradient_size(const ConvShape& conv, int block, const GradientAxis& y,
                                  const GradientAxis& x) {
  return static_cast<std::int64_t>(round_up(conv.c_in, block)) * conv.c_out * y.axis.taps *
         x.axis.taps;
}

void pack_gradient(const ConvShape& conv, int block, const float* weight, const GradientAxis& y,
                   const GradientAxis& x, float* packed, const ParallelFor& parallel) {
  const int taps = conv.taps();
  const int kept = y.axis.taps * x.axis.taps;
  const std::int64_t per_block = static_cast<std::int64_t>(conv.c_out) * kept * block;
  parallel.for_each_part(
      round_up(conv.c_in, block) / block, 1, [&](int, std::int64_t begin, std::int64_t end) {
        for (std::int64_t b = begin; b < end; ++b) {
          const int first = static_cast<int>(b) * block;
          const int channels = std::min(block, conv.c_in - first);
          for (int o = 0; o < conv.c_out; ++o) {
            float* to = packed + b * per_block + static_cast<std::int64_t>(o) * kept * block;
            const float* from = weight + (static_cast<std::int64_t>(o) * conv.c_in + first) * taps;
            for (int ty = 0; ty < y.axis.taps; ++ty) {
              const int ky = y.kernel_tap - conv.stride * ty;
              for (int tx = 0; tx < x.axis.taps; ++tx, to += block) {
                const int k = ky * conv.ks + x.kernel_tap - conv.stride * tx;
                for (int j = 0; j < channels; ++j) to[j] = from[j * taps + k];
                for (int j = channels; j < block; ++j) to[j] = 0;
              }
            }
          }
        }
      });
}

void sum_taps(const ConvShape& conv, const GradientParts& parts, float* tap_sums, float* totals) {
  const int padded = round_up(conv.c_out, parts.lanes);
  const int half = conv.ks / 2 + 1;
  const int classes = half * half;
  std::fill_n(tap_sums, static_cast<std::int64_t>(conv.taps()) * padded, 0.0F);
  std::fill_n(totals, padded, 0.0F);
  for (int y = 0; y < classes; ++y) {
    for (int x = 0; x < classes; ++x) {
      for (int part = 0; part < parts.parts; ++part) {
        const float* sums =
            parts.border_sums[part] + static_cast<std::int64_t>(y * classes + x) * padded;
        for (int ky = y / half; ky < conv.ks - y % half; ++ky) {
          for (int kx = x / half; kx < conv.ks - x % half; ++kx) {
            float* to = tap_sums + static_cast<std::int64_t>(ky * conv.ks + kx) * padded;
            for (int o = 0; o < padded; ++o) to[o] += sums[o];
          }
        }
        for (int o = 0; o < padded; ++o) totals[o] += sums[o];
      }
    }
  }
}

namespace {

/// G (taps, O rounded up) of one input channel, summed over the threads and, for image lanes, over
/// the images.
void gather_sums(const ConvShape& conv, const GradientParts& parts, int c, float* to) {
  const int taps = conv.taps();
  const int padded = round_up(conv.c_out, parts.lanes);
  if (parts.winograd) {
    winograd_taps(parts.sums, parts.parts, conv.c_in, padded, c, to);
    return;
  }
  if (parts.channel_lanes) {
    const int width = parts.vectors * parts.lanes;
    const int inputs = parts.bf16 ? round_up(conv.c_in, 2) : conv.c_in;
    for (std::int64_t tile = 0; tile * width < padded; ++tile) {
      const std::int64_t at = (tile * inputs + c) * taps * width;
      for (std::int64_t k = 0; k < taps; ++k) {
        float* row = to + k * padded + tile * width;
        std::copy_n(parts.sums[0] + at + k * width, width, row);
        for (int part = 1; part < parts.parts; ++part) {
          const float* sums = parts.sums[part] + at + k * width;
          for (int i = 0; i < width; ++i) row[i] += sums[i];
        }
      }
    }
    return;
  }
  if (parts.bf16) {
    const std::int64_t at = static_cast<std::int64_t>(c / 2) * taps * parts.lanes + c % 2;
    for (std::int64_t k = 0; k < taps; ++k) {
      for (std::int64_t o = 0; o < conv.c_out; ++o) {
        float sum = 0;
        for (int part = 0; part < parts.parts; ++part) {
          sum += parts.sums[part][at + k * parts.lanes + 2 * o];
        }
        to[k * padded + o] = sum;
      }
    }
    return;
  }
  for (int o = 0; o < conv.c_out; ++o) {
    const std::int64_t at = (static_cast<std::int64_t>(o) * conv.c_in + c) * taps * parts.lanes;
    for (std::int64_t k = 0; k < taps; ++k) {
      float sum = 0;
      for (int part = 0; part < parts.parts; ++part) {
        const float* sums = parts.sums[part] + at + k * parts.lanes;
        for (int lane = 0; lane < parts.lanes; ++lane) sum += sums[lane];
      }
      to[k * padded + o] = sum;
    }
  }
}

}  // namespace

void reduce_weight_gradient(const ConvShape& conv, const GradientParts& parts,
                            const float* tap_sums, const float* weight, const float* scale,
                            const float* shift, float* grad, double* input_sums,
                            float* const* scratch, const ParallelFor& parallel) {
  const int taps = conv.taps();
  const int padded = round_up(conv.c_out, parts.lanes);
  const std::int64_t per_output = static_cast<std::int64_t>(conv.c_in) * taps;
  // Not as many parts as there are threads now: scratch is for those that the sums were made by.
  parallel.for_each(parts.parts, [&](std::int64_t part) {
    const auto [begin, end] = ParallelFor::part_of(part, parts.parts, conv.c_in, 1);
    float* sums = scratch[part];
    for (int c = static_cast<int>(begin); c < static_cast<int>(end); ++c) {
      gather_sums(conv, parts, c, sums);
      const float s = scale ? scale[c] : 1.0F;
      const float t = shift ? shift[c] : 0.0F;
      double sum = 0;
      double product = 0;
      for (int o = 0; o < conv.c_out; ++o) {
        const std::int64_t at = o * per_output + static_cast<std::int64_t>(c) * taps;
        float of_tap = 0;
        float of_product = 0;
        for (int k = 0; k < taps; ++k) {
          const float g = sums[k * padded + o];
          const float total = tap_sums[k * padded + o];
          if (grad) grad[at + k] = s * g + t * total;
          of_tap += weight[at + k] * total;
          of_product += weight[at + k] * g;
        }
        sum += static_cast<double>(of_tap);
        product += static_cast<double>(of_product);
      }
      if (input_sums) {
        input_sums[static_cast<std::ptrdiff_t>(c) * 2] = sum;
        input_sums[static_cast<std::ptrdiff_t>(c) * 2 + 1] = product;
      }
    }
  });
}

}  // namespace fatwood::kernels
