#include <algorithm>

#include <fatwood/model/layer.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {

thread_local TapDeferral* TapDeferral::active_ = nullptr;

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
    const auto found =
        std::find_if(taps.begin(), taps.end(), [this](const auto& tap) { return tap->id == id_; });
    if (found != taps.end()) {
      const auto tap = std::move(*found);  // what it holds, perhaps handles, goes after the erasing
      tap->removed = true;
      taps.erase(found);
    }
  }
  layer_.reset();
}

bool Layer::PlacedTap::wants(Mode mode) const {
  return mode == Mode::training ? tap.request.training : tap.request.evaluation;
}

bool Layer::PlacedTap::due(Mode mode, std::int64_t ahead) const {
  return wants(mode) && (passes + ahead) % tap.request.period == 0;
}

bool Layer::PlacedTap::hist_due(std::int64_t ahead) const {
  const std::int64_t period = tap.request.hist_period;
  return period > 0 && ((passes + ahead) / tap.request.period) % period == 0;
}

bool Layer::PlacedTap::served_by(const Tensor& output,
                                 const std::optional<ActivationStatistics>& statistics) const {
  if (tap.request.tensors && !output.defined()) return false;
  if (hist_due()) return statistics && !statistics->hist.empty();
  return statistics || !tap.request.moments;
}

TapHandle Layer::add_tap(Tap tap) {
  const std::int64_t first_pass = tap.request.first_pass;
  taps_.push_back(std::make_shared<PlacedTap>(PlacedTap{next_tap_id_, std::move(tap), first_pass}));
  return {weak_from_this(), next_tap_id_++};
}

std::optional<TapRequest> Layer::due_taps(Mode mode, std::int64_t ahead) const {
  std::optional<TapRequest> joined;
  for (const auto& placed : taps_) {
    if (!placed->due(mode, ahead)) continue;
    if (!joined) joined = TapRequest{};
    const Tap& tap = placed->tap;
    joined->moments |= tap.request.moments || placed->hist_due(ahead);
    joined->tensors |= tap.request.tensors || tap.before;
    if (placed->hist_due(ahead)) joined->hist_period = 1;
  }
  return joined;
}

void Layer::announce_taps() {
  const auto taps = taps_;  // a copy: callbacks may place taps and remove them
  for (const auto& placed : taps) {
    if (!placed->removed && placed->tap.before && placed->due(mode())) placed->tap.before();
  }
}

void Layer::serve_taps(const Tensor& input, const Tensor& output,
                       std::optional<ActivationStatistics> statistics) {
  const Mode now = mode();
  const auto request = due_taps(now);
  if (request && request->moments && !statistics && output.defined()) {
    statistics = measure_activation(output.detach(), request->hist_period > 0);
  }
  const auto taps = taps_;  // as above
  for (const auto& placed : taps) {
    if (placed->removed || !placed->wants(now)) continue;
    if (placed->due(now) && placed->tap.deliver) {
      if (!placed->served_by(output, statistics)) continue;
      TapReading reading{*this, now, input, output, std::nullopt};
      if (placed->tap.request.moments || placed->hist_due()) {
        reading.statistics = statistics;
        if (!placed->hist_due() && reading.statistics) reading.statistics->hist.clear();
      }
      placed->tap.deliver(reading);
    }
    ++placed->passes;
  }
}

}  // namespace fatwood
