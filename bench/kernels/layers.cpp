// Each convolution kernel on the layers of the page's networks: one thread, one group of images,
// fastest of many runs, as a fraction of the multiply-add peak measured in the same run. Only
// products of taps inside the image are counted. Prints JSON, for bench/run.py.
//
//     bench_layers [instruction set]
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <fatwood/kernels/buffer.h>
#include <fatwood/kernels/packing.h>
#include <fatwood/kernels/table.h>
#include <fatwood/kernels/winograd.h>

namespace fatwood::kernels {
namespace {

constexpr int kGroups = 4;  // after which a weight gradient by Winograd's way is flushed

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <class Function>
double fastest_s(Function function) {
  double best = 1e9;
  const double end = now_s() + 0.06;
  for (int run = 0; run < 20 || now_s() < end; ++run) {
    const double begin = now_s();
    function();
    best = std::min(best, now_s() - begin);
  }
  return best;
}

std::int64_t valid_taps(const Axis& axis) {
  std::int64_t taps = 0;
  for (int o = 0; o < axis.count; ++o) taps += axis.taps - axis.low(o) - axis.high(o);
  return taps;
}

Buffer<float> filled(std::int64_t n) {
  Buffer<float> buffer(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < buffer.size(); ++i) {
    buffer[i] = static_cast<float>(i * 2654435761U % 1000) * 1e-3F - 0.5F;
  }
  return buffer;
}

/// The same in bf16, two to a float.
Buffer<float> filled_pairs(std::int64_t n) {
  Buffer<float> buffer = filled(n);
  for (std::size_t i = 0; i < buffer.size(); ++i) {
    auto bits = std::bit_cast<std::uint32_t>(buffer[i]) & 0xffff0000;
    buffer[i] = std::bit_cast<float>(bits | bits >> 16);
  }
  return buffer;
}

/// Every part names the one behind it.
void link(std::vector<Correlate>& parts) {
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) parts[i].next = &parts[i + 1];
}

/// One layer's kernels, timed; NaN where a kernel does not serve the layer.
struct Timing {
  ConvShape shape;
  double flops = 0;
  double forward_s = NAN, gradient_s = NAN, channels_s = NAN, images_s = NAN;
  double winograd_forward_s = NAN, winograd_gradient_s = NAN, winograd_weights_s = NAN;
  double bf16_forward_s = NAN, bf16_gradient_s = NAN, bf16_weights_s = NAN;
};

/// In bf16, where `forward` and `parts` are the f32 jobs. Turning gradients and splitting inputs,
/// which only weight gradients need, count as part of them.
void measure_bf16(const LayerKernels& kernels, int lanes, Correlate forward,
                  std::vector<Correlate> parts, Timing& timing) {
  const ConvShape& c = timing.shape;
  const Axis y = c.y();
  const Axis x = c.x();
  const std::int64_t in_plane = static_cast<std::int64_t>(c.height) * c.width * lanes;
  const std::int64_t out_plane = static_cast<std::int64_t>(y.count) * x.count * lanes;
  const int padded = round_up(c.c_out, lanes);
  const int inputs = round_up(c.c_in, 2);
  const auto in = filled_pairs(in_plane * inputs / 2);
  const auto split = filled_pairs(in_plane * inputs / 2);
  const auto out = filled_pairs(out_plane * round_up(c.c_out, 2) / 2);
  const auto turned = filled_pairs(out_plane * padded / 2);
  const auto weights =
      filled_pairs(static_cast<std::int64_t>(padded + lanes) * (inputs + lanes) * c.taps());
  const auto sums = filled(static_cast<std::int64_t>(padded) * inputs * c.taps());
  const auto border_sums = filled(static_cast<std::int64_t>(padded) * c.border_classes());
  forward.in = in.data();
  forward.out = out.data();
  forward.weights = weights.data();
  timing.bf16_forward_s = fastest_s([&] { kernels.correlate(forward); });
  for (Correlate& part : parts) {
    part.in = out.data();
    part.activation = in.data();
    part.out = split.data();
    part.weights = weights.data();
  }
  link(parts);
  timing.bf16_gradient_s = fastest_s([&] { kernels.correlate(parts.front()); });
  WeightGradient job{y, x, c.c_in, c.c_out, split.data(), turned.data(), sums.data(), 1};
  job.vectors = channel_lane_vectors(c.c_out, lanes);
  timing.bf16_weights_s = fastest_s([&] {
    kernels.split_channels(in.data(), c.c_in, std::int64_t{c.height} * c.width, split.data());
    kernels.turn_gradient(y, x, c.c_out, out.data(), turned.data(), border_sums.data());
    (c.c_out > lanes / 2 ? kernels.weight_gradient_channel_lanes
                         : kernels.weight_gradient_few_channels)(job);
  });
}

Timing measure(const LayerKernels& table, const LayerKernels& bf16, int lanes, const ConvShape& c) {
  Timing timing{c};
  const Axis y = c.y();
  const Axis x = c.x();
  const std::int64_t in_plane = static_cast<std::int64_t>(c.height) * c.width * lanes;
  const std::int64_t out_plane = static_cast<std::int64_t>(y.count) * x.count * lanes;
  const int padded = round_up(c.c_out, lanes);
  const int block = table.channel_block;
  const auto in = filled(in_plane * c.c_in);
  const auto out = filled(out_plane * c.c_out);
  const auto turned = filled(out_plane * padded);
  const auto packed = filled(packed_weights_size(c, block));
  const auto bias = filled(bias_table_size(c, block));
  const auto stats =
      filled(static_cast<std::int64_t>(round_up(std::max(c.c_out, c.c_in), 2)) * 3 * lanes);
  const auto coefficients = filled(std::int64_t{4} * round_up(c.c_in, lanes));
  const auto border_sums = filled(static_cast<std::int64_t>(padded) * c.border_classes());
  const auto gradient = filled(in_plane * c.c_in);
  timing.flops =
      2.0 * static_cast<double>(valid_taps(y) * valid_taps(x)) * c.c_in * c.c_out * lanes;

  Correlate forward;
  forward.y = y;
  forward.x = x;
  forward.in_channels = c.c_in;
  forward.out_channels = c.c_out;
  forward.in = in.data();
  forward.weights = packed.data();
  forward.bias = bias.data();
  forward.out = out.data();
  forward.out_height = y.count;
  forward.out_width = x.count;
  forward.slope = 0.1F;
  forward.stats = stats.data();
  timing.forward_s = fastest_s([&] { table.correlate(forward); });

  std::vector<Correlate> parts;
  std::vector<Buffer<float>> weights;
  for (int py = 0; py < c.stride; ++py) {
    for (int px = 0; px < c.stride; ++px) {
      const GradientAxis gy = gradient_axis(c.height, c.ks, c.stride, py);
      const GradientAxis gx = gradient_axis(c.width, c.ks, c.stride, px);
      weights.push_back(filled(packed_gradient_size(c, block, gy, gx)));
      Correlate part;
      part.y = gy.axis;
      part.x = gx.axis;
      part.in_channels = c.c_out;
      part.out_channels = c.c_in;
      part.in = out.data();
      part.weights = weights.back().data();
      part.out = gradient.data();
      part.out_height = c.height;
      part.out_width = c.width;
      part.slope = 0.1F;
      part.activation = in.data();
      part.coefficients = coefficients.data();
      part.images = lanes;
      parts.push_back(part);
    }
  }
  link(parts);
  timing.gradient_s = fastest_s([&] { table.correlate(parts.front()); });

  WeightGradient job{y, x, c.c_in, c.c_out, in.data(), turned.data(), nullptr, 1};
  job.vectors = channel_lane_vectors(c.c_out, lanes);
  const auto sums = filled(static_cast<std::int64_t>(padded) * c.c_in * c.taps());
  job.sums = sums.data();
  timing.channels_s = fastest_s([&] {
    table.turn_gradient(y, x, c.c_out, out.data(), turned.data(), border_sums.data());
    table.weight_gradient_channel_lanes(job);
  });
  const auto image_sums = filled(c.weights() * lanes);
  job.sums = image_sums.data();
  job.grad = out.data();
  timing.images_s = fastest_s([&] { table.weight_gradient_few_channels(job); });
  measure_bf16(bf16, lanes, forward, parts, timing);
  if (!winograd_pays(c)) return timing;

  const auto scratch = filled(std::max(winograd_scratch_size(c.c_in, c.c_out, lanes),
                                       winograd_scratch_size(c.c_out, c.c_in, lanes)));
  const auto points = filled(
      std::max(winograd_weights_size(c.c_in, c.c_out), winograd_weights_size(c.c_out, c.c_in)));
  for (Correlate* correlate : {&forward, &parts.front()}) {
    correlate->weights = points.data();
    correlate->scratch = scratch.data();
  }
  timing.winograd_forward_s = fastest_s([&] { table.correlate_winograd(forward); });
  timing.winograd_gradient_s = fastest_s([&] { table.correlate_winograd(parts.front()); });

  WinogradGradient collected = winograd_gradient_job(c, lanes);
  collected.vectors = job.vectors;
  collected.in = in.data();
  collected.grad = turned.data();
  const auto input_points = filled(collected.input_stride * kWinogradPoints);
  const auto gradient_points = filled(collected.gradient_stride * kWinogradPoints);
  const auto point_sums = filled(static_cast<std::int64_t>(padded) * c.c_in * kWinogradPoints);
  collected.input_points = input_points.data();
  collected.gradient_points = gradient_points.data();
  collected.sums = point_sums.data();
  timing.winograd_weights_s = fastest_s([&] {
    for (int group = 0; group < kGroups; ++group) {
      table.turn_gradient(y, x, c.c_out, out.data(), turned.data(), border_sums.data());
      table.winograd_gradient_add(collected);
    }
    table.winograd_gradient_flush(collected);
  });
  timing.winograd_weights_s /= kGroups;
  return timing;
}

using Column = std::pair<const char*, double Timing::*>;
constexpr Column kColumns[] = {{"forward", &Timing::forward_s},
                               {"input gradient", &Timing::gradient_s},
                               {"weight gradient, channel lanes", &Timing::channels_s},
                               {"weight gradient, image lanes", &Timing::images_s},
                               {"Winograd forward", &Timing::winograd_forward_s},
                               {"Winograd input gradient", &Timing::winograd_gradient_s},
                               {"Winograd weight gradient", &Timing::winograd_weights_s},
                               {"bf16 forward", &Timing::bf16_forward_s},
                               {"bf16 input gradient", &Timing::bf16_gradient_s},
                               {"bf16 weight gradient", &Timing::bf16_weights_s}};

std::string layer_text(const ConvShape& c) {
  return std::to_string(c.c_in) + " → " + std::to_string(c.c_out) + ", " + std::to_string(c.ks) +
         "×" + std::to_string(c.ks) + "/" + std::to_string(c.stride) + ", " +
         std::to_string(c.height) + "×" + std::to_string(c.width);
}

void print(const std::string& isa, double peak, const std::vector<Timing>& timings) {
  std::printf("{\"isa\": \"%s\", \"peak_gflops\": %.2f, \"rows\": [", isa.c_str(), peak * 1e-9);
  for (const Timing& timing : timings) {
    std::printf("%s\n  {\"layer\": \"%s\"", &timing == timings.data() ? "" : ",",
                layer_text(timing.shape).c_str());
    for (const bool percent : {false, true}) {
      std::printf(", \"%s\": {", percent ? "percent_of_peak" : "us");
      for (const Column& column : kColumns) {
        const double seconds = timing.*column.second;
        const double figure = percent ? 100 * timing.flops / seconds / peak : seconds * 1e6;
        std::printf("%s\"%s\": ", &column == kColumns ? "" : ", ", column.first);
        if (std::isnan(figure)) {
          std::printf("null");
        } else {
          std::printf("%.1f", figure);
        }
      }
      std::printf("}");
    }
    std::printf("}");
  }
  std::printf("]}\n");
}

int run(int argc, char** argv) {
  const Isa isa = choose_isa(argc > 1 ? argv[1] : "");
  const KernelTable& table = table_for(isa);
  const int lanes = lanes_of(isa);
  constexpr std::int64_t kRounds = 20000;
  float sink = 0;
  const double peak_s = fastest_s([&] { sink += table.run_multiply_adds(kRounds); });
  const double peak = 2.0 * table.multiply_adds_per_round * kRounds / peak_s;
  if (sink == 0) return 1;  // keeps the products alive
  std::vector<Timing> timings;
  const int nfs[] = {1, 8, 16, 32, 64, 128, 10};
  int size = 28;
  for (int i = 0; i < 6; ++i) {
    const int ks = i == 0 ? 5 : 3;
    const int stride = i == 0 ? 1 : 2;
    const auto add = [&](const ConvShape& shape) {
      timings.push_back(
          measure(table.layers, layer_kernels_for(isa, Precision::bf16), lanes, shape));
    };
    add({nfs[i], nfs[i + 1], ks, stride, size, size});
    if (stride > 1) add({nfs[i], nfs[i + 1], ks, 1, size, size});
    add({nfs[i + 1], nfs[i + 1], ks, stride, size, size});
    size = (size + stride - 1) / stride;
  }
  print(std::string(name_of(isa)), peak, timings);
  return 0;
}

}  // namespace
}  // namespace fatwood::kernels

int main(int argc, char** argv) {
  return fatwood::kernels::run(argc, argv);
}
