#include <fatwood/core/error.h>
#include <fatwood/inspect/activation_statistics.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {

StoreModuleStats::StoreModuleStats(Options options, std::shared_ptr<Recorder> recorder)
    : options_(std::move(options)), recorder_(std::move(recorder)) {
  if (options_.period < 1 || options_.hist_period < 0) {
    throw Error(ErrorKind::usage, "StoreModuleStats",
                "periods " + std::to_string(options_.period) + " and " +
                    std::to_string(options_.hist_period) + ", wanted 1 or more and 0 or more");
  }
}

void StoreModuleStats::before_fit(Run& run) {
  if (run.evaluation_only) return;  // the rows are the fit's
  taps_.clear();
  layers_.clear();
  rows_.clear();
  for (const NamedLayer& part : run.model->layers()) {
    if (options_.filter && !options_.filter(part)) continue;
    place_taps(run, part.layer, layers_.size());
    layers_.push_back({part.name, part.layer->kind()});
  }
}

// One tap for each mode, since each counts its own passes.
void StoreModuleStats::place_taps(const Run& run, const LayerPtr& layer, std::size_t index) {
  const auto deliver = [this, index](const TapReading& reading) {
    pending_.mean[index] = reading.statistics->mean;
    pending_.std[index] = reading.statistics->std;
    if (!reading.statistics->hist.empty()) {
      pending_.hist.resize(layers_.size());
      pending_.hist[index] = reading.statistics->hist;
    }
    ++served_;
  };
  TapRequest request{
      .moments = true, .hist_period = options_.hist_period, .period = options_.period};
  if (options_.training) {
    request.first_pass = run.step;
    taps_.push_back(layer->add_tap({.request = request, .deliver = deliver}));
  }
  if (options_.evaluation) {
    request.training = false;
    request.evaluation = true;
    request.first_pass = run.epoch * run.evaluation_batches();
    taps_.push_back(layer->add_tap({.request = request, .deliver = deliver}));
  }
}

void StoreModuleStats::cleanup_fit(Run&) {
  taps_.clear();
}

void StoreModuleStats::before_batch(Run& run) {
  served_ = 0;
  pending_ = {.mode = run.mode,
              .step = run.step,
              .epoch = run.epoch,
              .mean = std::vector<double>(layers_.size()),
              .std = std::vector<double>(layers_.size()),
              .hist = {}};
}

void StoreModuleStats::after_batch(Run&) {
  if (served_ == 0) return;
  if (options_.keep) rows_.push_back(pending_);
  if (recorder_) recorder_->stats(pending_);
}

}  // namespace fatwood
