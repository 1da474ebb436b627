#include <algorithm>

#include <fatwood/core/error.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/graph_plan.h>

namespace fatwood {

TapWish wish_of(const Layer& layer) {
  if (!layer.has_taps()) return kNoTap;
  const auto request = layer.due_taps(layer.is_training() ? Mode::training : Mode::evaluation);
  if (!request) return kTapNotDue;
  if (request->tensors) return kTensors;
  if (request->hist_period > 0) return kHistogram;
  return request->moments ? kMoments : kTapNotDue;
}

void MeasuringTaps::computed(Layer& layer, const Tensor& output) {
  const torch::NoGradGuard no_grad;
  const TapWish wish = wish_of(layer);
  if (std::none_of(known_.begin(), known_.end(),
                   [&](const LayerPtr& known) { return known.get() == &layer; }))
    throw Error(ErrorKind::usage, "graphed_steps", "a layer with taps is not among the model's");
  if (std::any_of(plan_.taps.begin(), plan_.taps.end(),
                  [&](const ServedLayer& served) { return served.layer == &layer; }))
    throw Error(ErrorKind::usage, "graphed_steps", "a layer with taps runs twice in a pass");
  std::int64_t entry = 0;
  if (wish == kMoments || wish == kHistogram) {
    if (!cuda::measurable(output))
      throw Error(ErrorKind::usage, "graphed_steps",
                  "an output that is not dense floats cannot be measured on the device");
    entry = kFirstTapEntry + cuda::kStatistics * measured_++;
    cuda::measure(output, wish == kHistogram, scratch_,
                  plan_.report.narrow(0, entry, cuda::kStatistics));
  }
  plan_.taps.push_back({&layer, wish, entry});
}

}  // namespace fatwood
