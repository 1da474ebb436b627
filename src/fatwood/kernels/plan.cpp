#include <algorithm>

#include <fatwood/core/error.h>
#include <fatwood/kernels/plan.h>
#include <fatwood/kernels/winograd.h>

namespace fatwood::kernels {
namespace {

// Sums of a weight gradient that leave the second-level cache between two groups are taken for
// several groups in one pass, as many as have their values and gradients in that cache together.
constexpr std::int64_t kManySums = std::int64_t{64} * 1024;  // floats
constexpr std::int64_t kChunk = std::int64_t{128} * 1024;

std::string text(const ImageShape& shape) {
  return "(" + std::to_string(shape.channels) + ", " + std::to_string(shape.height) + ", " +
         std::to_string(shape.width) + ")";
}

[[noreturn]] void refuse(std::size_t layer, const std::string& message) {
  throw Error(ErrorKind::model, "plan", "layer " + std::to_string(layer) + ": " + message);
}

class Planner {
 public:
  Planner(std::vector<LayerSpec>& layers, const StretchOptions& options) : layers_(layers) {
    plan_.options = options;
    plan_.table =
        options.kernels ? options.kernels : &layer_kernels_for(options.isa, options.precision);
    plan_.lanes = lanes_of(options.isa);
    plan_.block = plan_.table->channel_block;
    plan_.groups = (options.batch + plan_.lanes - 1) / plan_.lanes;
  }

  Plan make() {
    const ImageShape& input = plan_.options.input;
    if (plan_.options.batch < 1 || input.channels < 1 || input.height < 1 || input.width < 1) {
      throw Error(ErrorKind::model, "plan",
                  "input: found batch " + std::to_string(plan_.options.batch) + " of " +
                      text(input) + ", wanted sizes of 1 or more");
    }
    if (layers_.empty())
      throw Error(ErrorKind::model, "plan", "found no layer, wanted one or more");
    Value* value = add_value(input, {}, nullptr);
    for (layer_ = 0; layer_ < layers_.size(); ++layer_) {
      if (plan_.bf16() && !has_bf16_kernels(layers_[layer_])) {
        refuse(layer_, "found precision bf16, which its kernels do not have, wanted f32");
      }
      value = std::visit([&](auto& spec) { return add(spec, value); }, layers_[layer_]);
      plan_.layer_outputs.push_back(plan_.values.size() - 1);
    }
    place_values(plan_);
    if (plan_.options.keeps_values) add_gradient_memory();
    add_thread_memory(plan_);
    return std::move(plan_);
  }

 private:
  Value* add(ConvSpec& spec, Value* in) { return add_convolution(spec, in); }

  Value* add(DoubleSpec& spec, Value* in) {
    return add_convolution(spec.b, add_convolution(spec.a, in));
  }

  Value* add(ResidualSpec& spec, Value* in) {
    if (spec.a.stride != 1)
      refuse(layer_, "conv_a's stride: found " + std::to_string(spec.a.stride) + ", wanted 1");
    Value* main = add_convolution(spec.b, add_convolution(spec.a, in));
    ImageShape identity = in->shape;
    auto junction = std::make_unique<Junction>();
    junction->pooled = spec.b.stride == 2;
    if (junction->pooled) {
      identity.height = (identity.height + 1) / 2;
      identity.width = (identity.width + 1) / 2;
    }
    junction->projected = spec.id_weight.has_value();
    const int c_out = junction->projected ? main->shape.channels : identity.channels;
    if (identity.height != main->shape.height || identity.width != main->shape.width ||
        c_out != main->shape.channels) {
      refuse(layer_, "identity path " + text({c_out, identity.height, identity.width}) +
                         " does not fit the main path " + text(main->shape));
    }
    if (junction->projected) {
      Convolution& projection = junction->projection;
      projection.shape = {in->shape.channels, c_out, 1, 1, identity.height, identity.width};
      projection.weight = &*spec.id_weight;
      projection.bias = spec.id_bias ? &*spec.id_bias : nullptr;
      projection.in = in;
      add_buffers(projection, true);
      projection.chunk = 1;  // its input is pooled group by group
    }
    return add_junction(std::move(junction), main, in, spec.activation);
  }

  Value* add(BasicSpec& spec, Value* in) {
    Value* main = add_convolution(spec.b, add_convolution(spec.a, in, &spec.activation));
    Value* identity = spec.down ? add_convolution(*spec.down, in) : in;
    if (identity->shape != main->shape) {
      refuse(layer_, "identity path " + text(identity->shape) + " does not fit the main path " +
                         text(main->shape));
    }
    return add_junction(std::make_unique<Junction>(), main, identity, spec.activation);
  }

  Value* add(StemSpec& spec, Value* in) {
    Value* value = add_convolution(spec.conv, in, &spec.activation);
    return add_pooling(
        value, true,
        {value->shape.channels, (value->shape.height + 1) / 2, (value->shape.width + 1) / 2});
  }

  Value* add(HeadSpec& spec, Value* in) {
    if (spec.c_in != in->shape.channels || spec.c_out < 1) {
      refuse(layer_,
             "input " + text(in->shape) + ", wanted " + std::to_string(spec.c_in) + " channels");
    }
    return connect({spec.c_in, spec.c_out, 1, 1, 1, 1}, spec.weight, spec.bias,
                   add_pooling(in, false, {in->shape.channels, 1, 1}), {}, nullptr);
  }

  Value* add_junction(std::unique_ptr<Junction> junction, Value* main, Value* identity,
                      const Activation& activation) {
    check(activation);
    junction->main = main;
    junction->identity = identity;
    junction->offset = Buffer<float>(padded(main->shape.channels));
    Value* out = add_value(main->shape, activation, nullptr);
    junction->out = out;
    main->main_of = junction.get();
    identity->identity_of = junction.get();
    plan_.operations.push_back({.junction = junction.get()});
    plan_.junctions.push_back(std::move(junction));
    return out;
  }

  Value* add_pooling(Value* in, bool max, const ImageShape& shape) {
    auto pooling = std::make_unique<Pooling>();
    pooling->max = max;
    pooling->in = in;
    pooling->out = add_value(shape, {}, nullptr);
    in->pooled_by = pooling.get();
    plan_.operations.push_back({.pooling = pooling.get()});
    plan_.poolings.push_back(std::move(pooling));
    return plan_.values.back().get();
  }

  /// `late`: an activation that comes after the norm.
  Value* add_convolution(ConvSpec& spec, Value* in, const Activation* late = nullptr) {
    if (spec.ks < 1 || spec.ks % 2 == 0 || spec.ks > 31) {
      refuse(layer_,
             "kernel size: found " + std::to_string(spec.ks) + ", wanted odd and 31 at most");
    }
    if (spec.stride != 1 && spec.stride != 2) {
      refuse(layer_, "stride: found " + std::to_string(spec.stride) + ", wanted 1 or 2");
    }
    if (spec.c_in != in->shape.channels || spec.c_out < 1) {
      refuse(layer_,
             "input " + text(in->shape) + ", wanted " + std::to_string(spec.c_in) + " channels");
    }
    check(spec.activation);
    if (late) {
      check(*late);
      if (!spec.norm || spec.activation.slope != 1 || late->subtract != 0) {
        refuse(layer_, "wanted a norm between the convolution and a plain leaky relu");
      }
    }
    Value* out =
        connect({spec.c_in, spec.c_out, spec.ks, spec.stride, in->shape.height, in->shape.width},
                spec.weight, spec.bias, in, late ? *late : spec.activation,
                spec.norm ? &*spec.norm : nullptr);
    out->late = late != nullptr;
    return out;
  }

  Value* connect(ConvShape shape, Parameter& weight, std::optional<Parameter>& bias, Value* in,
                 const Activation& activation, NormSpec* norm) {
    auto convolution = std::make_unique<Convolution>();
    convolution->taps_in_parameter = shape.taps();
    if (shape.ks > 1 && in->pixels() == 1) {
      shape.ks = shape.stride = 1;
      convolution->middle = Buffer<float>(static_cast<std::size_t>(shape.weights()));
      if (plan_.options.keeps_values)
        convolution->middle_gradient = Buffer<float>(convolution->middle.size());
    }
    convolution->shape = shape;
    convolution->weight = &weight;
    convolution->bias = bias ? &*bias : nullptr;
    convolution->in = in;
    add_buffers(*convolution, in != plan_.values.front().get() || plan_.options.input_gradient);
    convolution->out = add_value({shape.c_out, shape.y().count, shape.x().count}, activation, norm);
    in->readers.push_back(convolution.get());
    plan_.operations.push_back({.convolution = convolution.get()});
    plan_.convolutions.push_back(std::move(convolution));
    return plan_.values.back().get();
  }

  void check(const Activation& activation) const {
    if (!(activation.slope >= 0)) {
      refuse(layer_, "activation's slope: found " + std::to_string(activation.slope) +
                         ", wanted 0 or more");
    }
  }

  std::size_t padded(int channels) const {
    return static_cast<std::size_t>(round_up(channels, std::max(plan_.block, plan_.lanes)));
  }

  Value* add_value(const ImageShape& shape, const Activation& activation, NormSpec* norm) {
    auto value = std::make_unique<Value>();
    value->shape = shape;
    value->group_size = plan_.planes(shape.channels) * value->plane(plan_.lanes);
    value->size = static_cast<std::size_t>(value->group_size * plan_.groups);
    value->activation = activation;
    value->norm = norm;
    value->scale = Buffer<float>(padded(shape.channels));
    value->shift = Buffer<float>(padded(shape.channels));
    std::fill_n(value->scale.data(), value->scale.size(), 1.0F);
    if (plan_.options.keeps_values) value->coefficients = Buffer<float>(padded(shape.channels) * 4);
    const auto channels = static_cast<std::size_t>(shape.channels);
    value->mean.resize(channels);
    value->rstd.resize(channels);
    value->statistics.resize(channels);
    plan_.values.push_back(std::move(value));
    return plan_.values.back().get();
  }

  void add_buffers(Convolution& convolution, bool with_input_gradient) {
    const ConvShape& shape = convolution.shape;
    const auto floats = [](std::int64_t n) { return Buffer<float>(static_cast<std::size_t>(n)); };
    convolution.winograd =
        !plan_.bf16() && plan_.options.winograd != WinogradUse::off && winograd_pays(shape);
    convolution.winograd_forward =
        convolution.winograd && plan_.options.winograd == WinogradUse::everywhere;
    convolution.weights =
        floats(plan_.bf16()                   ? bf16_packed_weights_size(shape, plan_.block)
               : convolution.winograd_forward ? winograd_weights_size(shape.c_in, shape.c_out)
                                              : packed_weights_size(shape, plan_.block));
    convolution.table = floats(bias_table_size(shape, plan_.block));
    if (!plan_.options.keeps_values) return;
    if (with_input_gradient) {
      for (int y = 0; y < shape.stride; ++y) {
        for (int x = 0; x < shape.stride; ++x) {
          GradientPart part{gradient_axis(shape.height, shape.ks, shape.stride, y),
                            gradient_axis(shape.width, shape.ks, shape.stride, x),
                            {}};
          if (part.y.axis.count == 0 || part.x.axis.count == 0) continue;
          part.weights = floats(
              plan_.bf16()           ? bf16_packed_gradient_size(shape, plan_.block, part.y, part.x)
              : convolution.winograd ? winograd_weights_size(shape.c_out, shape.c_in)
                                     : packed_gradient_size(shape, plan_.block, part.y, part.x));
          convolution.gradient_parts.push_back(std::move(part));
        }
      }
    }
    const int out = round_up(shape.c_out, plan_.lanes);
    // Few channels would leave channel lanes, or the registers for sums, empty.
    const bool fills = shape.c_out > plan_.lanes / 2 && (plan_.bf16() || shape.c_in >= 8);
    convolution.winograd_gradient =
        convolution.winograd && fills && winograd_gradient_pays(shape, plan_.lanes);
    // With 16 registers, 3 or 5 taps of up to 8 channels a side take fewer loads with images in the
    // lanes. Measured up to 28×28: a larger image would not stay in the cache while they go over
    // it.
    const bool small = plan_.lanes < 16 && !plan_.bf16() && (shape.ks == 3 || shape.ks == 5) &&
                       (shape.c_in <= 8 || shape.c_out <= 8) &&
                       shape.y().count * shape.x().count <= 28 * 28;
    convolution.channel_lanes = convolution.winograd_gradient || (fills && !small);
    convolution.vectors = channel_lane_vectors(shape.c_out, plan_.lanes);
    const int inputs = plan_.bf16() ? round_up(shape.c_in, 2) : shape.c_in;
    const std::int64_t sums = static_cast<std::int64_t>(out) * inputs;
    convolution.sums_size = convolution.winograd_gradient ? sums * kWinogradPoints
                            : convolution.channel_lanes   ? sums * shape.taps()
                            : plan_.bf16()                ? sums / 2 * shape.taps()
                                                          : shape.weights() * plan_.lanes;
    convolution.turned_size = static_cast<std::int64_t>(shape.y().count) * shape.x().count *
                              (plan_.bf16() ? plan_.lanes / 2 : plan_.lanes) * out;
    convolution.border_sums_size = static_cast<std::int64_t>(out) * shape.border_classes();
    convolution.tap_sums = floats(static_cast<std::int64_t>(out) * shape.taps());
    convolution.totals = floats(out);
    if (convolution.channel_lanes && convolution.sums_size > kManySums) {
      const std::int64_t group = convolution.in->group_size + convolution.turned_size;
      convolution.chunk = static_cast<int>(std::clamp<std::int64_t>(kChunk / group, 1, 8));
    }
  }

  /// See Value::gradient.
  void add_gradient_memory() {
    for (auto& value : plan_.values) {
      const bool is_input = value == plan_.values.front();
      const bool is_output = value == plan_.values.back();
      const std::size_t ways = value->readers.size() + (value->identity_of ? 1 : 0);
      const bool wanted =
          is_input ? plan_.options.input_gradient
                   : is_output || value->late || (value->norm && (ways > 1 || value->pooled_by));
      if (wanted) value->gradient = Buffer<float>(value->size);
    }
  }

  std::vector<LayerSpec>& layers_;
  std::size_t layer_ = 0;
  Plan plan_;
};

}  // namespace

bool has_bf16_kernels(const LayerSpec& layer) {
  return std::holds_alternative<ConvSpec>(layer) || std::holds_alternative<ResidualSpec>(layer) ||
         std::holds_alternative<DoubleSpec>(layer);
}

Plan make_plan(std::vector<LayerSpec>& layers, const StretchOptions& options) {
  return Planner(layers, options).make();
}

}  // namespace fatwood::kernels
