// The forward pass: for each operation the groups of images in parallel, then, once their
// statistics are complete, the affine map of the value that they made.
#include <algorithm>
#include <cmath>

#include <fatwood/core/error.h>
#include <fatwood/kernels/executor.h>
#include <fatwood/kernels/weights.h>

namespace fatwood::kernels {
namespace {

class Forward {
 public:
  Forward(Plan& plan, Mode mode, bool watch, const ParallelFor& parallel)
      : plan_(plan), mode_(mode), watch_(watch), parallel_(parallel) {}

  void run(const float* x, float* out) {
    check_batch();
    load(x);
    for (const Operation& operation : plan_.operations) {
      if (operation.convolution) {
        convolve(*operation.convolution);
      } else if (operation.junction) {
        join(*operation.junction);
      } else {
        pool(*operation.pooling);
      }
    }
    store(out);
  }

 private:
  bool trains(const Value& value) const { return value.norm && mode_ == Mode::train; }

  void check_batch() const {
    for (const auto& value : plan_.values) {
      const std::int64_t count = static_cast<std::int64_t>(plan_.options.batch) * value->pixels();
      if (trains(*value) && count < 2) {
        throw Error(ErrorKind::data, "batch norm",
                    "values per channel: found 1, wanted more when training");
      }
    }
  }

  void load(const float* x) {
    Value& input = *plan_.values.front();
    const std::int64_t image = static_cast<std::int64_t>(input.shape.channels) * input.pixels();
    for_each_group(plan_, parallel_, [&](ThreadMemory&, std::int64_t group) {
      plan_.table->interleave(x + group * plan_.lanes * image, plan_.images_of(group),
                              input.shape.channels, input.pixels(), input.group(group));
    });
  }

  void store(float* out) {
    const Value& value = plan_.output();
    const std::int64_t image = static_cast<std::int64_t>(value.shape.channels) * value.pixels();
    for_each_group(plan_, parallel_, [&](ThreadMemory&, std::int64_t group) {
      plan_.table->deinterleave(value.group(group), plan_.images_of(group), value.shape.channels,
                                value.pixels(), value.scale.data(), value.shift.data(),
                                out + group * plan_.lanes * image);
    });
  }

  void pack(Convolution& c, const float* bias) {
    const Value& in = *c.in;
    c.has_table = in.affine || bias;
    const float* scale = in.affine ? in.scale.data() : nullptr;
    if (c.winograd_forward) {
      pack_winograd(c.shape, plan_.lanes, c.weight->value, scale, c.weights.data(), parallel_);
      if (!c.has_table) return;
    }
    gather_middle(c, parallel_);
    if (plan_.bf16()) {
      bf16_pack_forward(c.shape, plan_.block, c.values(), scale,
                        in.affine ? in.shift.data() : nullptr, bias, c.weights.data(),
                        c.has_table ? c.table.data() : nullptr, parallel_);
      return;
    }
    pack_forward(c.shape, plan_.block, c.values(), scale, in.affine ? in.shift.data() : nullptr,
                 bias, c.winograd_forward ? nullptr : c.weights.data(),
                 c.has_table ? c.table.data() : nullptr, parallel_);
  }

  Correlate job_of(const Convolution& c) const {
    Correlate job;
    job.y = c.shape.y();
    job.x = c.shape.x();
    job.in_channels = c.shape.c_in;
    job.out_channels = c.shape.c_out;
    job.weights = c.weights.data();
    job.bias = c.has_table ? c.table.data() : nullptr;
    job.out_height = job.y.count;
    job.out_width = job.x.count;
    return job;
  }

  void convolve(Convolution& c) {
    pack(c, c.bias ? c.bias->value : nullptr);
    Value& out = *c.out;
    Correlate common = job_of(c);
    common.slope = out.raw_slope();
    begin_statistics(out);
    for_each_group(plan_, parallel_, [&](ThreadMemory& memory, std::int64_t group) {
      Correlate job = common;
      job.in = read_group(plan_, *c.in, group, memory.formed.data());
      job.out = out.group(group);
      job.stats = out.has_statistics ? memory.stats.data() : nullptr;
      job.scratch = memory.winograd.data();
      (c.winograd_forward ? plan_.table->correlate_winograd : plan_.table->correlate)(job);
      fold(out, memory, group);
    });
    finish(out);
  }

  void join(Junction& j) {
    Value& out = *j.out;
    const Value& main = *j.main;
    const Value& identity = *j.identity;
    const int channels = out.shape.channels;
    for (int c = 0; c < channels; ++c) {
      const auto i = static_cast<std::size_t>(c);
      j.offset[i] = main.shift[i];
      if (!j.projected) j.offset[i] += identity.shift[i];
      if (j.projected && j.projection.bias) j.offset[i] += j.projection.bias->value[i];
    }
    if (j.projected) pack(j.projection, j.offset.data());
    begin_statistics(out);
    for_each_group(plan_, parallel_, [&](ThreadMemory& memory, std::int64_t group) {
      const float* from = identity.group(group);
      if (j.pooled) {
        plan_.table->average_pool(identity.shape.channels, identity.shape.height,
                                  identity.shape.width, from, memory.pooled.data());
        from = memory.pooled.data();
      }
      float* stats = out.has_statistics ? memory.stats.data() : nullptr;
      if (j.projected) {
        Correlate job = job_of(j.projection);
        job.in = from;
        job.out = out.group(group);
        job.add = main.group(group);
        job.add_scale = main.scale.data();
        job.slope = out.activation.slope;
        job.stats = stats;
        plan_.table->correlate(job);
      } else {
        plan_.table->join(channels, out.pixels(), main.group(group), main.scale.data(), from,
                          identity.scale.data(), j.offset.data(), out.activation.slope,
                          out.group(group), stats);
      }
      fold(out, memory, group);
    });
    finish(out);
  }

  void pool(const Pooling& p) {
    Value& out = *p.out;
    begin_statistics(out);
    for_each_group(plan_, parallel_, [&](ThreadMemory& memory, std::int64_t group) {
      float* stats = out.has_statistics ? memory.stats.data() : nullptr;
      if (p.max) {
        plan_.table->max_pool(max_pool_of(p, group, memory), out.group(group), stats);
      } else {
        plan_.table->mean_pool(out.shape.channels, p.in->pixels(), p.in->group(group),
                               p.in->scale.data(), p.in->shift.data(), out.group(group), stats);
      }
      fold(out, memory, group);
    });
    finish(out);
  }

  void begin_statistics(Value& value) {
    value.has_statistics = watch_ || trains(value);
    if (!value.has_statistics) return;
    for (ThreadMemory& memory : plan_.memory) {
      std::fill(memory.moments.begin(), memory.moments.end(), PartialMoments{});
    }
  }

  void fold(const Value& value, ThreadMemory& memory, std::int64_t group) const {
    if (!value.has_statistics) return;
    plan_.table->fold_stats(memory.stats.data(), value.shape.channels, plan_.images_of(group),
                            value.pixels(), memory.moments.data());
  }

  void finish(Value& value) {
    const double subtract = static_cast<double>(value.activation.subtract);
    value.affine = !value.late && (value.norm || subtract != 0);
    for (std::size_t c = 0; c < value.statistics.size(); ++c) {
      if (value.has_statistics) {
        value.statistics[c] = {};
        for (const ThreadMemory& memory : plan_.memory) value.statistics[c].add(memory.moments[c]);
      }
      if (!value.norm) {
        value.shift[c] = static_cast<float>(-subtract);
        continue;
      }
      NormSpec& norm = *value.norm;
      double variance = 0;
      if (mode_ == Mode::train) {
        const Moments& moments = value.statistics[c];
        value.mean[c] = moments.mean;
        variance = moments.biased_variance();
        update_running(norm, c, moments, subtract);
      } else {
        // The subtraction comes before the norm, so the running mean is that of raw - subtract.
        value.mean[c] = static_cast<double>(norm.running_mean[c]) + subtract;
        variance = static_cast<double>(norm.running_var[c]);
      }
      value.rstd[c] = 1 / std::sqrt(variance + norm.eps);
      const double scale = static_cast<double>(norm.weight.value[c]) * value.rstd[c];
      value.scale[c] = static_cast<float>(scale);
      value.shift[c] =
          static_cast<float>(static_cast<double>(norm.bias.value[c]) - scale * value.mean[c]);
    }
  }

  static void update_running(NormSpec& norm, std::size_t c, const Moments& moments,
                             double subtract) {
    if (!norm.running_mean) return;
    const double unbiased = moments.m2 / static_cast<double>(moments.count - 1);
    const auto blend = [&](float& running, double now) {
      running = static_cast<float>((1 - norm.momentum) * static_cast<double>(running) +
                                   norm.momentum * now);
    };
    blend(norm.running_mean[c], moments.mean - subtract);
    blend(norm.running_var[c], unbiased);
  }

  Plan& plan_;
  Mode mode_;
  bool watch_;
  const ParallelFor& parallel_;
};

}  // namespace

void run_forward(Plan& plan, const float* x, float* out, Mode mode, bool watch,
                 const ParallelFor& parallel) {
  Forward(plan, mode, watch, parallel).run(x, out);
}

}  // namespace fatwood::kernels
