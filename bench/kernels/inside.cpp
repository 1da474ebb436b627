// Where a training step's time goes, kernel by kernel: each call of the step is timed in its place,
// and a few times more at once behind itself, with its data at hand, the fastest of which counts.
// What lies between the two is the memory's part.
//
//     bench_inside NETWORK [batch] [steps]      NETWORK: conv, residual or double; one thread
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <fatwood/core/philox.h>
#include <fatwood/kernels/isa.h>
#include <fatwood/kernels/table.h>

#include "network.h"

namespace fatwood::kernels {
namespace {

constexpr int kRepeats = 4;

/// One kernel on one shape.
struct Times {
  std::int64_t calls = 0;
  double in_place = 0;  ///< seconds, of all calls
  double repeated = 0;  ///< likewise, the fastest repeat of each
};

double now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

struct Meter {
  const LayerKernels* kernels;
  bool repeat = false;
  std::map<std::pair<std::string, std::string>, Times> times;

  /// Repeats spoil what is computed in place, and with it the step's values but not its work.
  template <class Call>
  void measure(const char* kernel, const std::string& shape, const Call& call) {
    Times& of = times[{kernel, shape}];
    const double begin = now();
    call();
    if (!repeat) {
      of.in_place += now() - begin;
      ++of.calls;
      return;
    }
    double fastest = std::numeric_limits<double>::infinity();
    for (int i = 0; i < kRepeats; ++i) {
      const double again = now();
      call();
      fastest = std::min(fastest, now() - again);
    }
    of.repeated += fastest;
  }
};
Meter meter;

std::string sizes(int c_in, int c_out, int taps, int height, int width) {
  return std::to_string(c_in) + " → " + std::to_string(c_out) + ", " + std::to_string(taps) + "×" +
         std::to_string(taps) + ", to " + std::to_string(height) + "×" + std::to_string(width);
}

/// Of a stride-2 input gradient, the taps of its parts together are those of the convolution.
std::string shape_of(const Correlate& job) {
  int taps = job.x.taps;
  if (job.next) taps += job.next->x.taps;
  return sizes(job.in_channels, job.out_channels, taps, job.out_height, job.out_width);
}
std::string shape_of(const WeightGradient& job) {
  return sizes(job.in_channels, job.out_channels, job.x.taps, job.y.count, job.x.count) +
         (job.groups > 1 ? ", " + std::to_string(job.groups) + " groups" : "");
}
const char* part_of(const Correlate& job) {
  return job.activation          ? "input gradient"
         : job.stats || job.bias ? "forward"
                                 : "second path's input gradient";
}

void correlate(const Correlate& job) {
  meter.measure(part_of(job), shape_of(job), [&] { meter.kernels->correlate(job); });
}
/// Forward passes do not go this way by default.
void correlate_winograd(const Correlate& job) {
  meter.measure("input gradient, Winograd", shape_of(job),
                [&] { meter.kernels->correlate_winograd(job); });
}
void channel_lanes(const WeightGradient& job) {
  meter.measure("weight gradient, channel lanes", shape_of(job),
                [&] { meter.kernels->weight_gradient_channel_lanes(job); });
}
void few_channels(const WeightGradient& job) {
  meter.measure("weight gradient, image lanes", shape_of(job),
                [&] { meter.kernels->weight_gradient_few_channels(job); });
}
void winograd_add(WinogradGradient& job) {
  const WinogradGradient before = job;
  meter.measure("weight gradient, Winograd",
                sizes(job.in_channels, job.out_channels, 3, job.height, job.width), [&] {
                  job = before;
                  meter.kernels->winograd_gradient_add(job);
                });
}

/// A pass over a group that is no convolution: by its name alone.
template <auto kMember>
struct Pass;
template <class... Arguments, void (*LayerKernels::*kMember)(Arguments...)>
struct Pass<kMember> {
  static inline const char* name = "";
  static void call(Arguments... arguments) {
    meter.measure(name, "", [&] { (meter.kernels->*kMember)(arguments...); });
  }
};
template <auto kMember>
void put_meter_on(LayerKernels& all, const char* name) {
  Pass<kMember>::name = name;
  all.*kMember = Pass<kMember>::call;
}

LayerKernels with_meter(const LayerKernels& kernels) {
  LayerKernels all = kernels;
  all.correlate = correlate;
  all.correlate_winograd = correlate_winograd;
  all.weight_gradient_channel_lanes = channel_lanes;
  all.weight_gradient_few_channels = few_channels;
  all.winograd_gradient_add = winograd_add;
  put_meter_on<&LayerKernels::winograd_gradient_flush>(all, "weight gradient, Winograd, the rest");
  put_meter_on<&LayerKernels::fold_stats>(all, "statistics");
  put_meter_on<&LayerKernels::turn_gradient>(all, "turning gradients");
  put_meter_on<&LayerKernels::sum_gradient>(all, "gradients' sums");
  put_meter_on<&LayerKernels::gradient_sums>(all, "norms' sums");
  put_meter_on<&LayerKernels::norm_backward>(all, "norms backward");
  put_meter_on<&LayerKernels::interleave>(all, "layout in");
  put_meter_on<&LayerKernels::deinterleave>(all, "layout out");
  put_meter_on<&LayerKernels::join>(all, "sums of two paths");
  put_meter_on<&LayerKernels::average_pool>(all, "pooling");
  put_meter_on<&LayerKernels::average_pool_backward>(all, "pooling backward");
  return all;
}

/// Values around ±1, the same on every machine.
float value_at(std::size_t i, std::uint32_t key) {
  const PhiloxCounter random = philox4x32({static_cast<std::uint32_t>(i), 0, 0, 0}, {key, 0});
  return static_cast<float>(random[0]) * 0x1p-31F - 1;
}

int run(int argc, char** argv) {
  const char* const names[] = {"conv", "residual", "double"};
  const std::string name = argc > 1 ? argv[1] : "conv";
  const int batch = argc > 2 ? std::stoi(argv[2]) : 512;
  const int steps = argc > 3 ? std::stoi(argv[3]) : 10;
  const auto* const found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names) || batch < 1 || steps < 1) {
    std::fprintf(stderr, "usage: bench_inside conv|residual|double [batch] [steps]\n");
    return 2;
  }
  meter.kernels = &layer_kernels_for(default_isa(), Precision::f32);
  const LayerKernels kernels = with_meter(*meter.kernels);
  const int kind = static_cast<int>(found - names);
  Network network(kind, batch, 1, Precision::f32, &kernels);
  Network plain(kind, batch, 1, Precision::f32);  // the meter takes time itself
  for (std::size_t i = 0; i < network.params.size(); ++i) {
    network.params[i] = plain.params[i] = 0.1F * value_at(i, 1);
  }
  std::vector<float> x(static_cast<std::size_t>(batch) * 28 * 28);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = value_at(i, 2);
  std::vector<std::int64_t> targets(static_cast<std::size_t>(batch));
  for (std::size_t i = 0; i < targets.size(); ++i) targets[i] = static_cast<std::int64_t>(i % 10);

  const auto step = [&](Network& of) {
    double seconds[4];
    of.train(x.data(), targets.data(), 0, seconds);
    return seconds[0] + seconds[1] + seconds[2];
  };
  for (int i = 0; i < 3; ++i) step(network), step(plain);
  meter.times.clear();
  double total = 0;
  for (int i = 0; i < steps; ++i) {
    step(network);
    total += step(plain);
  }
  meter.repeat = true;
  step(network);

  std::printf(
      "{\"isa\": \"%s\", \"network\": \"%s\", \"batch\": %d, \"step_ms\": %.3f, \"rows\": [",
      std::string(name_of(default_isa())).c_str(), name.c_str(), batch, 1e3 * total / steps);
  const char* separator = "\n";
  for (const auto& [of, times] : meter.times) {
    const double calls = static_cast<double>(times.calls) / steps;
    std::printf(
        "%s  {\"kernel\": \"%s\", \"shape\": \"%s\", \"calls\": %.0f, \"ms\": %.4f, "
        "\"repeated_ms\": %.4f}",
        separator, of.first.c_str(), of.second.c_str(), calls, 1e3 * times.in_place / steps,
        1e3 * times.repeated);
    separator = ",\n";
  }
  std::printf("\n]}\n");
  return 0;
}

}  // namespace
}  // namespace fatwood::kernels

int main(int argc, char** argv) {
  return fatwood::kernels::run(argc, argv);
}
