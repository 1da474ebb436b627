#include <fatwood/model/layer.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {

TapHandle& TapHandle::operator=(TapHandle&& other) noexcept {
  if (this != &other) {
    remove();
    layer_ = std::move(other.layer_);
    id_ = other.id_;
    other.layer_.reset();
  }
  return *this;
}

void TapHandle::remove() noexcept {
  if (const auto module = layer_.lock()) {
    auto& taps = static_cast<Layer&>(*module).taps_;
    std::erase_if(taps, [this](const auto& tap) { return tap.id == id_; });
  }
  layer_.reset();
}

bool Layer::PlacedTap::due(Mode mode) const {
  const bool wanted = mode == Mode::training ? tap.request.training : tap.request.evaluation;
  return wanted && passes % tap.request.period == 0;
}

bool Layer::PlacedTap::hist_due() const {
  const std::int64_t period = tap.request.hist_period;
  return period > 0 && (passes / tap.request.period) % period == 0;
}

TapHandle Layer::add_tap(Tap tap) {
  const std::int64_t first_pass = tap.request.first_pass;
  taps_.push_back({next_tap_id_, std::move(tap), first_pass});
  return {weak_from_this(), next_tap_id_++};
}

std::optional<TapRequest> Layer::due_taps(Mode mode) const {
  std::optional<TapRequest> joined;
  for (const PlacedTap& placed : taps_) {
    if (!placed.due(mode)) continue;
    if (!joined) joined = TapRequest{};
    joined->moments |= placed.tap.request.moments || placed.hist_due();
    joined->tensors |= placed.tap.request.tensors;
    if (placed.hist_due()) joined->hist_period = 1;
  }
  return joined;
}

void Layer::announce_taps() {
  for (const PlacedTap& placed : taps_) {
    if (placed.tap.before && placed.due(mode())) placed.tap.before();
  }
}

void Layer::serve_taps(const Tensor& input, const Tensor& output,
                       std::optional<ActivationStatistics> statistics) {
  const Mode now = mode();
  const auto request = due_taps(now);
  if (request && request->moments && !statistics) {
    statistics = measure_activation(output.detach(), request->hist_period > 0);
  }
  for (PlacedTap& placed : taps_) {
    const bool wanted =
        now == Mode::training ? placed.tap.request.training : placed.tap.request.evaluation;
    if (!wanted) continue;
    if (placed.due(now) && placed.tap.deliver) {
      TapReading reading{*this, now, input, output, std::nullopt};
      if (placed.tap.request.moments || placed.hist_due()) {
        reading.statistics = statistics;
        if (!placed.hist_due() && reading.statistics) reading.statistics->hist.clear();
      }
      placed.tap.deliver(reading);
    }
    ++placed.passes;
  }
}

}  // namespace fatwood
