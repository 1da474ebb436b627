// StoreModuleStats: mean, deviation and histogram of each layer's output at every
// training batch, through taps. What `mean_std_plot` and `hist_plot` draw and `diagnose` reads.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <fatwood/train/callback.h>
#include <fatwood/train/recorder.h>

namespace fatwood {

struct StoreModuleStatsOptions {
  std::int64_t period = 1;       ///< statistics at every n-th batch
  std::int64_t hist_period = 8;  ///< and with every n-th of those a histogram; 0: none
  bool training = true;
  bool evaluation = false;
  std::function<bool(const NamedLayer&)> filter = {};  ///< which of `model.layers()`; empty: all
  bool keep = true;  ///< rows in memory, which grow with the fit; false: for the recorder alone
};

/// Throws Error{usage} for a period below 1 or a negative histogram period.
class StoreModuleStats : public Callback {
 public:
  using Options = StoreModuleStatsOptions;
  /// Rows are kept here, unless the options say otherwise, and handed to the recorder's sinks.
  explicit StoreModuleStats(Options options = {}, std::shared_ptr<Recorder> recorder = nullptr);

  std::string name() const override { return "store_module_stats"; }
  Stage stage() const override { return Stage::measure; }
  void before_fit(Run& run) override;
  void cleanup_fit(Run& run) override;
  void before_batch(Run& run) override;
  void after_batch(Run& run) override;

  /// Of the last fit; none where the options say not to keep them.
  const std::vector<StatsRow>& rows() const { return rows_; }
  const std::vector<LayerInfo>& layers() const { return layers_; }

 private:
  void place_taps(const Run& run, const LayerPtr& layer, std::size_t index);

  Options options_;
  std::shared_ptr<Recorder> recorder_;
  std::vector<TapHandle> taps_;
  std::vector<LayerInfo> layers_;
  std::vector<StatsRow> rows_;
  StatsRow pending_;  // of the batch in hand
  std::size_t served_ = 0;
};

}  // namespace fatwood
