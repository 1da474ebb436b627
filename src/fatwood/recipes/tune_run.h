// tune_run: measures a network's layers for some batch sizes and keeps the result in the tuned
// table. What `fatwood tune` calls.
#pragma once

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <fatwood/engine/tune.h>

namespace fatwood {

struct TuneRunOptions {
  std::string model = "residual_cnn";
  std::vector<std::int64_t> nfs = {};          ///< features per block; empty: the model's own
  std::vector<std::int64_t> input{1, 28, 28};  ///< (C, H, W)
  std::int64_t num_classes = 10;
  std::vector<std::int64_t> batch_sizes{512};
  std::string amp = "none";           ///< or "bf16", as TrainRunOptions::amp
  int threads = 0;                    ///< 0: LibTorch's default
  double seconds = 1;                 ///< for each layer
  std::filesystem::path output = {};  ///< the table's file; empty: tuning_place("")
};

struct TuneRunHooks {
  std::stop_token stop = {};
  std::function<void(std::string_view)> say = {};
  /// Once for each batch size, when it has been measured.
  std::function<void(std::int64_t batch_size, const TuneResult&)> measured = {};
};

struct TuneRunResult {
  std::filesystem::path file;
  bool interrupted = false;  ///< the file is then as it was
};

/// Checks every option and reads the table before anything is measured; writes it once, at the end.
TuneRunResult tune_run(const TuneRunOptions& options, const TuneRunHooks& hooks = {});

}  // namespace fatwood
