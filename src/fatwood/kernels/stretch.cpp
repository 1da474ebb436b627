#include <algorithm>

#include <fatwood/core/error.h>
#include <fatwood/kernels/executor.h>
#include <fatwood/kernels/stretch.h>

namespace fatwood::kernels {

struct Stretch::Impl {
  std::vector<LayerSpec> layers;
  Plan plan;
  Mode mode = Mode::train;
  bool watch = false;
  bool ran_forward = false;
};

Stretch::Stretch(std::vector<LayerSpec> layers, const StretchOptions& options)
    : impl_(std::make_unique<Impl>()) {
  impl_->layers = std::move(layers);
  impl_->plan = make_plan(impl_->layers, options);
}

Stretch::~Stretch() = default;

std::vector<LayerSpec>& Stretch::layers() {
  return impl_->layers;
}
ImageShape Stretch::output_shape() const {
  return impl_->plan.output().shape;
}
std::int64_t Stretch::bytes() const {
  return impl_->plan.bytes();
}
std::string Stretch::describe(std::size_t layer) const {
  return kernels::describe(impl_->plan, layer);
}
void Stretch::watch(bool on) {
  impl_->watch = on;
}

void Stretch::forward(const float* x, float* out, Mode mode, const ParallelFor& parallel) {
  impl_->ran_forward = false;
  run_forward(impl_->plan, x, out, mode, impl_->watch, parallel);
  impl_->mode = mode;
  impl_->ran_forward = true;
}

void Stretch::backward(const float* grad_out, float* grad_x, const ParallelFor& parallel) {
  if (!impl_->ran_forward) {
    throw Error(ErrorKind::model, "backward",
                "found no forward pass since the last backward pass, wanted one");
  }
  if (!impl_->plan.options.keeps_values)
    throw Error(ErrorKind::internal, "backward", "the stretch was planned without it");
  if (grad_x && !impl_->plan.options.input_gradient) {
    throw Error(ErrorKind::internal, "backward",
                "the input's gradient is wanted, but the stretch was planned without it");
  }
  impl_->ran_forward = false;
  run_backward(impl_->plan, grad_out, grad_x, impl_->mode, parallel);
}

Moments Stretch::moments(std::size_t layer) const {
  const Value& value = *impl_->plan.values[impl_->plan.layer_outputs.at(layer)];
  if (!impl_->ran_forward || !value.has_statistics) {
    throw Error(ErrorKind::internal, "moments",
                "wanted a watched forward pass without its backward");
  }
  Moments total;
  for (std::size_t c = 0; c < value.statistics.size(); ++c) {
    const double scale = static_cast<double>(value.scale[c]);
    const Moments& raw = value.statistics[c];
    total.add({raw.count, scale * raw.mean + static_cast<double>(value.shift[c]),
               scale * scale * raw.m2});
  }
  return total;
}

void Stretch::histogram(std::size_t layer, float top, std::span<std::int64_t> counts,
                        const ParallelFor& parallel) const {
  check_histogram_bins(counts.size());
  Plan& plan = impl_->plan;
  const Value& value = *plan.values[plan.layer_outputs.at(layer)];
  if (!impl_->ran_forward || !plan.options.keeps_values) {
    throw Error(ErrorKind::internal, "histogram",
                "wanted a forward pass without its backward, planned to keep its values");
  }
  const std::size_t threads = plan.memory.size();
  std::vector<std::vector<std::int64_t>> parts(threads, std::vector<std::int64_t>(counts.size()));
  for_each_group(plan, parallel, [&](ThreadMemory& memory, std::int64_t group) {
    auto& mine = parts[static_cast<std::size_t>(&memory - plan.memory.data())];
    plan.table->affine_histogram(value.group(group), value.shape.channels, value.pixels(),
                                 plan.images_of(group), value.scale.data(), value.shift.data(),
                                 static_cast<int>(counts.size()), top, mine.data());
  });
  std::fill(counts.begin(), counts.end(), 0);
  for (const auto& part : parts) {
    for (std::size_t bin = 0; bin < counts.size(); ++bin) counts[bin] += part[bin];
  }
}

}  // namespace fatwood::kernels
