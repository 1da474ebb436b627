// train_run: a whole training run on FashionMNIST, from the data to a run folder. What `fatwood
// train` calls.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include <fatwood/train/checkpointing.h>
#include <fatwood/train/learner.h>
#include <fatwood/train/recorder.h>

namespace fatwood {

/// Which activation statistics a run keeps.
enum class StatsLevel {
  off,
  moments,  ///< mean and deviation at every step, histograms at every 8th
  all,      ///< histograms at every step
};

struct TrainRunOptions {
  std::string model = "residual_cnn";
  std::vector<std::int64_t> nfs = {};  ///< features per block; empty: the model's own
  std::string init = "default";        ///< or "lsuv": the default's, then brought to unit variance
  std::int64_t epochs = 3;
  double lr = 1e-2;
  std::int64_t batch_size = 512;
  std::uint64_t seed = 42;
  std::string opt = "adamw";       ///< or "sgd"
  std::string sched = "onecycle";  ///< "cosine", "step", "exponential", "constant"
  double warmup_epochs = 0;        ///< linear warm-up before every schedule but onecycle
  double weight_decay = 1e-2;
  double momentum = 0.9;    ///< of sgd
  bool decay_norms = true;  ///< false: no weight decay on norms and biases
  double clip_grad = 0;     ///< joint norm of the gradients; 0: no clipping
  std::int64_t grad_accum_steps = 1;
  double model_ema_decay = 0;  ///< 0: no averaged weights
  std::int64_t patience =
      -1;  ///< evaluations without a better loss that are borne; -1: no early stop
  std::string engine = "fused";  ///< the library's own kernels where they know the layers and win,
                                 ///< LibTorch's operators elsewhere; or "torch": those alone
  std::string amp = "none";      ///< or "bf16": values and products in bf16, with engine fused
  std::string tuning = {};       ///< file of the tuned table, or "none"; empty: tuning_place()
  std::string device = "auto";   ///< "cpu", "cuda"
  int threads = 0;               ///< 0: LibTorch's default
  bool shuffle = true;
  double holdout = 0;  ///< share of the training images to evaluate on instead of the test images
  bool deterministic = false;
  StatsLevel stats = StatsLevel::moments;
  std::optional<std::filesystem::path> data = {};                ///< folder of the four files
  std::optional<std::filesystem::path> initial_checkpoint = {};  ///< weights to start from
  std::filesystem::path output = {};  ///< run folder; empty: runs/<date>-<model>
  bool overwrite = false;
  std::int64_t checkpoint_steps = 0;  ///< a checkpoint after every n-th batch; 0: not by steps
  double checkpoint_minutes = 5;      ///< and that long after the last one; 0: not by time
  std::int64_t keep = 2;              ///< newest checkpoints that stay, beside the best
  std::string on_diverge = "stop";    ///< or "rewind": back to the last checkpoint at half the rate
  bool resume = false;                ///< go on with the run in `output` (recipes/train_resume.h)
  std::filesystem::path resume_from = {};  ///< that checkpoint; empty: the newest whole one
};

struct TrainRunResult {
  FitResult fit;
  std::filesystem::path folder = {};  ///< empty, as all that follows: no run was begun
  std::shared_ptr<Recorder> recorder = {};
  std::filesystem::path checkpoint = {};  ///< the newest that this fit wrote
  bool last_saved = true;                 ///< false: the save after that one failed
  CheckpointingCost checkpointing = {};
};

/// What the caller hangs into the run.
struct TrainRunHooks {
  std::stop_token stop = {};
  std::vector<RowSinkPtr> sinks = {};  ///< displays; the run folder's files come by themselves
  /// Sinks that write into the run's folder; called once it is there.
  std::function<std::vector<RowSinkPtr>(const std::filesystem::path& folder)> sinks_in = {};
  std::function<void(std::string_view)> say = {};  ///< lines for the user: where it trains, remarks
  Callbacks callbacks = {};  ///< beside the run's own; a resume wants those of the same names
};

/// Checks every option and loads the data before anything is written; a stop that ends a download
/// begins no run. Throws Error of the kind that fits.
TrainRunResult train_run(const TrainRunOptions& options, const TrainRunHooks& hooks = {});

/// Throws Error{usage}, as of `operation`, naming the first option that cannot be.
void check(const TrainRunOptions& options, std::string_view operation = "train");

/// "auto", "cpu" or "cuda". Throws Error{usage} for another name, or for cuda where there is none.
torch::Device choose_device(const std::string& name);

/// `args.json`'s "options", under the command line's names.
nlohmann::json to_json(const TrainRunOptions& options);

}  // namespace fatwood
