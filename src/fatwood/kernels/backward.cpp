// The backward pass. Values are visited from the last to the first; a visit turns the value's
// memory into the gradient dz below its norm and activation (invariant 3), then takes the weight
// gradient of the convolution that made it.
//
// With a norm over M values, mean μ and r = 1/√(σ² + eps) of the raw value a:
//     dz = mask·(A·dy + B·a + C),  A = γr,  B = -γr²·dγ/M,  C = -γr·Σdy/M - B·μ,
//     dβ = Σdy,  dγ = r·(Σdy·a - μ·Σdy).
// (mask is 1 for a late value: its activation's is in dy, and both sums are over that.)
// Where a convolution alone reads the value, both sums come out of that convolution's weight
// gradient (packing.h), before dy itself exists: so dz is formed in the registers of the input
// gradient's tile and dy never is. Elsewhere the sums are taken over dy in memory.
#include <algorithm>
#include <array>

#include <fatwood/core/error.h>
#include <fatwood/kernels/executor.h>
#include <fatwood/kernels/weights.h>

namespace fatwood::kernels {
namespace {

class Backward {
 public:
  Backward(Plan& plan, Mode mode, const ParallelFor& parallel)
      : plan_(plan), table_(*plan.table), mode_(mode), parallel_(parallel) {}

  void run(const float* grad_out, float* grad_x) {
    for (std::size_t i = plan_.operations.size(); i > 0; --i)
      visit(*plan_.values[i], plan_.operations[i - 1], grad_out);
    if (grad_x) store_input_gradient(grad_x);
  }

 private:
  bool is_output(const Value& value) const { return &value == plan_.values.back().get(); }

  void visit(Value& value, const Operation& made_by, const float* grad_out) {
    pack_readers(value);
    if (value.gradient.data()) {
      form_gradient(value, grad_out);
    } else if (!value.norm) {
      set_plain(value);
    }
    Convolution* convolution = made_by.convolution;
    Junction* junction = made_by.junction;
    if (junction && junction->projected) convolution = &junction->projection;
    if (convolution) clear_sums(*convolution);
    clear_gradient_sums();
    const int chunk = convolution ? convolution->chunk : 1;
    for_each_chunk(plan_, parallel_, chunk,
                   [&](ThreadMemory& memory, std::int64_t begin, std::int64_t end) {
                     for (std::int64_t group = begin; group < end; ++group) {
                       form_raw_gradient(value, memory, group, convolution);
                       if (junction) add_junction_sums(*junction, memory, group);
                     }
                     if (convolution)
                       add_weight_gradient(*convolution, value, junction, memory, begin, end);
                   });
    if (convolution) finish_weight_gradient(*convolution, junction != nullptr);
    if (junction && junction->main->norm) finish_gradient_sums(*junction->main, 0);
    if (junction && identity_waits(*junction)) finish_gradient_sums(*junction->identity, 1);
  }

  // --- gradients of values ---

  /// dy into value.gradient, and the sums over it.
  void form_gradient(Value& value, const float* grad_out) {
    clear_gradient_sums();
    const std::int64_t image = static_cast<std::int64_t>(value.shape.channels) * value.pixels();
    for_each_group(plan_, parallel_, [&](ThreadMemory& memory, std::int64_t group) {
      float* dy = value.gradient_group(group);
      const float slope = value.late ? value.activation.slope : 1;
      if (is_output(value)) {
        table_.interleave(grad_out + group * plan_.lanes * image, plan_.images_of(group),
                          value.shape.channels, value.pixels(), dy);
      } else if (value.pooled_by) {
        gradient_from_pooling(*value.pooled_by, memory, group, slope, dy);
      } else {
        gradient_from_readers(value, memory, group, plan_.plain.data(), slope,
                              read_group(plan_, value, group, memory.formed.data()), dy);
      }
      if (value.norm) add_gradient_sums(value, dy, memory, group, 0);
    });
    if (value.norm) {
      finish_gradient_sums(value, 0);
    } else {
      set_plain(value);
    }
  }

  /// dz into the value's own memory; `next`: the convolution whose weight gradient follows.
  void form_raw_gradient(Value& value, ThreadMemory& memory, std::int64_t group,
                         const Convolution* next) {
    float* raw = value.group(group);
    const float* dy = nullptr;
    if (value.gradient.data()) {
      dy = value.gradient_group(group);
    } else if (value.main_of) {
      dy = value.main_of->out->group(group);
    } else if (value.identity_of && value.readers.empty()) {
      dy = value.identity_of->out->group(group);
    }
    if (dy) {
      table_.norm_backward(value.shape.channels, value.pixels(), plan_.images_of(group), dy, raw,
                           value.coefficients.data(), value.raw_slope(), raw);
    } else if (value.pooled_by) {
      gradient_from_pooling(*value.pooled_by, memory, group, value.raw_slope(), raw);
    } else {
      gradient_from_readers(value, memory, group, value.coefficients.data(), value.raw_slope(), raw,
                            raw, next ? next->in : nullptr);
    }
  }

  void gradient_from_pooling(const Pooling& pooling, ThreadMemory& memory, std::int64_t group,
                             float slope, float* to) {
    const float* grad = pooling.out->group(group);
    const Value& in = *pooling.in;
    if (pooling.max) {
      table_.max_pool_backward(max_pool_of(pooling, group, memory), grad, to);
    } else {
      table_.mean_pool_backward(in.shape.channels, in.pixels(), grad, in.group(group), slope, to);
    }
  }

  /// The input gradients of the value's readers, plus the identity path's. `next`: what is read
  /// then.
  void gradient_from_readers(const Value& value, ThreadMemory& memory, std::int64_t group,
                             const float* coefficients, float slope, const float* activation,
                             float* to, const Value* next = nullptr) {
    Correlate job;
    job.out_height = value.shape.height;
    job.out_width = value.shape.width;
    job.scratch = memory.winograd.data();
    if (value.readers.size() > 1) {
      // The planner gives a value two readers at most, and no sum then takes it as it is.
      job.out = memory.spread.data();
      input_gradient(*value.readers[1], group, job);
      job.extra = memory.spread.data();
      job.extra_height = value.shape.height;
      job.extra_width = value.shape.width;
    }
    job.out = to;
    job.slope = slope;
    job.activation = activation;
    job.coefficients = coefficients;
    job.images = plan_.images_of(group);
    if (next) fetch_ahead(plan_, *next, group, job);
    if (value.identity_of) add_identity_gradient(*value.identity_of, memory, group, job);
    input_gradient(*value.readers.front(), group, job);
  }

  /// Runs the parts of a convolution's input gradient; `job` says where to and what follows.
  void input_gradient(const Convolution& c, std::int64_t group, Correlate job) {
    job.in_channels = c.shape.c_out;
    job.out_channels = c.shape.c_in;
    job.in = c.out->group(group);
    std::array<Correlate, 4> parts;  // stride 2 along both axes
    const std::size_t count = c.gradient_parts.size();
    for (std::size_t i = 0; i < count; ++i) {
      const GradientPart& part = c.gradient_parts[i];
      parts[i] = job;
      parts[i].y = part.y.axis;
      parts[i].x = part.x.axis;
      parts[i].weights = part.weights.data();
      if (i > 0) parts[i - 1].next = &parts[i];
    }
    if (count > 0) (c.winograd ? table_.correlate_winograd : table_.correlate)(parts[0]);
  }

  void add_identity_gradient(const Junction& j, ThreadMemory& memory, std::int64_t group,
                             Correlate& job) {
    const Value& out = *j.out;
    const Value& identity = *j.identity;
    const float* from = out.group(group);
    if (j.projected) {
      const GradientPart& part = j.projection.gradient_parts.front();
      Correlate projection;
      projection.y = part.y.axis;
      projection.x = part.x.axis;
      projection.in_channels = out.shape.channels;
      projection.out_channels = identity.shape.channels;
      projection.in = from;
      projection.weights = part.weights.data();
      projection.out = memory.spread.data();
      projection.out_height = out.shape.height;
      projection.out_width = out.shape.width;
      table_.correlate(projection);
      from = memory.spread.data();
    }
    if (j.pooled) {
      table_.average_pool_backward(identity.shape.channels, identity.shape.height,
                                   identity.shape.width, from, memory.spread.data());
      from = memory.spread.data();
    }
    job.extra = from;
    job.extra_shift = j.pooled ? 1 : 0;
    job.extra_height = out.shape.height;
    job.extra_width = out.shape.width;
  }

  void store_input_gradient(float* grad_x) {
    Value& input = *plan_.values.front();
    pack_readers(input);
    const std::int64_t image = static_cast<std::int64_t>(input.shape.channels) * input.pixels();
    for_each_group(plan_, parallel_, [&](ThreadMemory& memory, std::int64_t group) {
      float* dx = input.gradient_group(group);
      if (input.pooled_by) {
        gradient_from_pooling(*input.pooled_by, memory, group, 1, dx);
      } else {
        gradient_from_readers(input, memory, group, plan_.plain.data(), 1, input.group(group), dx);
      }
      table_.deinterleave(dx, plan_.images_of(group), input.shape.channels, input.pixels(),
                          input.scale.data(), input.shift.data(),
                          grad_x + group * plan_.lanes * image);
    });
  }

  void pack_readers(const Value& value) {
    for (Convolution* reader : value.readers) pack_input_gradient(plan_, *reader, parallel_);
    if (value.identity_of && value.identity_of->projected) {
      pack_input_gradient(plan_, value.identity_of->projection, parallel_);
    }
  }

  // --- sums for norms ---

  void clear_gradient_sums() {
    for (ThreadMemory& memory : plan_.memory) {
      std::fill(memory.gradient_sums.begin(), memory.gradient_sums.end(), 0.0);
    }
  }

  /// An identity path that is a convolution and a norm of its own.
  static bool identity_waits(const Junction& junction) {
    return junction.identity->norm && junction.identity->readers.empty();
  }

  void add_junction_sums(const Junction& junction, ThreadMemory& memory, std::int64_t group) {
    const float* dy = junction.out->group(group);
    if (junction.main->norm) add_gradient_sums(*junction.main, dy, memory, group, 0);
    if (identity_waits(junction)) add_gradient_sums(*junction.identity, dy, memory, group, 1);
  }

  /// `path` 0: a sum's main path, or the only one; 1: its identity path.
  void add_gradient_sums(const Value& value, const float* dy, ThreadMemory& memory,
                         std::int64_t group, std::size_t path) {
    table_.gradient_sums(value.shape.channels, value.pixels(), dy, value.group(group),
                         memory.gradient_sums.data() + path * 2 * plan_.most_channels);
  }

  void finish_gradient_sums(Value& value, std::size_t path) {
    for (std::size_t c = 0; c < value.mean.size(); ++c) {
      const std::size_t at = (path * plan_.most_channels + c) * 2;
      double sum = 0;
      double product = 0;
      for (const ThreadMemory& memory : plan_.memory) {
        sum += memory.gradient_sums[at];
        product += memory.gradient_sums[at + 1];
      }
      finish_norm(value, c, sum, product);
    }
  }

  void finish_norm(Value& value, std::size_t c, double sum, double product) {
    NormSpec& norm = *value.norm;
    const double mean = value.mean[c];
    const double rstd = value.rstd[c];
    const double weight_gradient = rstd * (product - mean * sum);
    if (norm.weight.grad) norm.weight.grad[c] = static_cast<float>(weight_gradient);
    if (norm.bias.grad) norm.bias.grad[c] = static_cast<float>(sum);
    const double scale = static_cast<double>(norm.weight.value[c]) * rstd;
    double slant = 0;
    double offset = 0;
    if (mode_ == Mode::train) {
      const double count = static_cast<double>(plan_.options.batch) * value.pixels();
      slant = -scale * rstd * weight_gradient / count;
      offset = -scale * sum / count - slant * mean;
    }
    float* to = value.coefficients.data() + c * 4;
    to[0] = static_cast<float>(scale);
    to[1] = static_cast<float>(slant);
    to[2] = static_cast<float>(offset);
  }

  /// No norm: dz = mask·dy.
  void set_plain(Value& value) {
    std::copy_n(plan_.plain.data(), value.coefficients.size(), value.coefficients.data());
  }

  // --- weights ---

  void clear_sums(const Convolution& c) {
    parallel_.for_each(static_cast<std::int64_t>(plan_.memory.size()), [&](std::int64_t thread) {
      ThreadMemory& memory = plan_.memory[static_cast<std::size_t>(thread)];
      std::fill_n(memory.sums.data(), c.sums_size, 0.0F);
      std::fill_n(memory.border_sums.data(), c.border_sums_size, 0.0F);
    });
  }

  /// Of groups [begin, end), which are a chunk at most.
  void add_weight_gradient(const Convolution& c, const Value& out, const Junction* junction,
                           ThreadMemory& memory, std::int64_t begin, std::int64_t end) {
    WeightGradient job;
    job.y = c.shape.y();
    job.x = c.shape.x();
    job.in_channels = c.shape.c_in;
    job.out_channels = c.shape.c_out;
    job.in = c.in->group(begin);
    job.in_group = c.in->group_size;
    if (c.in->late) {
      for (std::int64_t group = begin; group < end; ++group) {
        read_group(plan_, *c.in, group, memory.formed.data() + (group - begin) * job.in_group);
      }
      job.in = memory.formed.data();
    }
    if (junction && junction->pooled) {
      table_.average_pool(c.in->shape.channels, c.in->shape.height, c.in->shape.width, job.in,
                          memory.pooled.data());
      job.in = memory.pooled.data();
    }
    job.sums = memory.sums.data();
    job.vectors = c.vectors;
    if (plan_.bf16()) job.in = split_channels(plan_, job, memory, end - begin);
    if (c.channel_lanes || plan_.bf16()) {
      job.groups = static_cast<int>(end - begin);
      job.grad = memory.turned.data();
      job.grad_group = c.turned_size;
      for (std::int64_t group = begin; group < end; ++group) {
        table_.turn_gradient(job.y, job.x, c.shape.c_out, out.group(group),
                             memory.turned.data() + (group - begin) * job.grad_group,
                             memory.border_sums.data());
      }
      if (!c.winograd_gradient) {
        (c.channel_lanes ? table_.weight_gradient_channel_lanes
                         : table_.weight_gradient_few_channels)(job);
        return;
      }
      WinogradGradient points = winograd_job(plan_, c, memory);
      for (int i = 0; i < job.groups; ++i) {
        points.in = job.in + i * job.in_group;
        points.grad = job.grad + i * job.grad_group;
        table_.winograd_gradient_add(points);
      }
      memory.tiles = points.tiles;
    } else {
      job.grad = out.group(begin);
      if (c.in->affine || c.bias) {
        table_.sum_gradient(job.y, job.x, c.shape.c_out, job.grad, memory.border_sums.data());
      }
      table_.weight_gradient_few_channels(job);
    }
  }

  void finish_weight_gradient(Convolution& c, bool is_projection) {
    if (c.winograd_gradient) {
      parallel_.for_each(static_cast<std::int64_t>(plan_.memory.size()), [&](std::int64_t thread) {
        ThreadMemory& memory = plan_.memory[static_cast<std::size_t>(thread)];
        WinogradGradient points = winograd_job(plan_, c, memory);
        table_.winograd_gradient_flush(points);
        memory.tiles = 0;
      });
    }
    const GradientParts parts{plan_.sums.data(),
                              plan_.border_sums.data(),
                              static_cast<int>(plan_.memory.size()),
                              plan_.lanes,
                              c.channel_lanes,
                              c.winograd_gradient,
                              plan_.bf16(),
                              c.vectors};
    sum_taps(c.shape, parts, c.tap_sums.data(), c.totals.data());
    if (c.bias && c.bias->grad) std::copy_n(c.totals.data(), c.shape.c_out, c.bias->grad);

    Value& in = *c.in;
    const bool input_norm_follows = !is_projection && in.norm && !in.gradient.data();
    float* grad = c.weight->grad && c.middle.data() ? c.middle_gradient.data() : c.weight->grad;
    reduce_weight_gradient(
        c.shape, parts, c.tap_sums.data(), c.values(), in.affine ? in.scale.data() : nullptr,
        in.affine ? in.shift.data() : nullptr, grad,
        input_norm_follows ? plan_.input_sums.data() : nullptr, plan_.reductions.data(), parallel_);
    if (grad != c.weight->grad) spread_middle(c, parallel_);
    if (!input_norm_follows) return;
    for (std::size_t i = 0; i < in.mean.size(); ++i) {
      finish_norm(in, i, plan_.input_sums[i * 2], plan_.input_sums[i * 2 + 1]);
    }
  }

  Plan& plan_;
  const LayerKernels& table_;
  Mode mode_;
  const ParallelFor& parallel_;
};

}  // namespace

void run_backward(Plan& plan, const float* grad_out, float* grad_x, Mode mode,
                  const ParallelFor& parallel) {
  Backward(plan, mode, parallel).run(grad_out, grad_x);
}

}  // namespace fatwood::kernels
