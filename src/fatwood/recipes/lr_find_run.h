// lr_find_run: a learning-rate sweep on FashionMNIST under the options of a training run. What
// `fatwood lr-find` calls.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include <fatwood/inspect/lr_find.h>
#include <fatwood/recipes/train_run.h>

namespace fatwood {

struct LrFindRunOptions {
  /// What is trained on what. Rate, schedule, epochs and the run's record play no part.
  TrainRunOptions train = {};
  LrFindOptions sweep = {};
  std::filesystem::path output = {};  ///< `lr_find.json`, or another name; empty: no file
  bool overwrite = false;             ///< of a file that is there
};

/// Checks every option, the output's place and the data before the sweep, and writes the file after
/// it, an interrupted sweep's too; where the sweep's stop ends a download there is no batch and no
/// file. `say` hears of downloads and what is swept. Throws Error of the
/// kind that fits.
LrFindResult lr_find_run(const LrFindRunOptions& options,
                         const std::function<void(std::string_view)>& say = {});

}  // namespace fatwood
