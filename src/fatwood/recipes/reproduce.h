// reproduce: the page from top to bottom. Its interrupted run, its three networks, timm's resnet18
// and its summaries, each beside the page's own figures. What `fatwood reproduce` calls.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <fatwood/report/reproduction.h>
#include <fatwood/train/recorder.h>

namespace fatwood {

struct ReproduceOptions {
  std::int64_t seeds = 1;        ///< runs of each network, from `seed` upwards
  std::uint64_t seed = 42;       ///< the page's
  bool quick = false;            ///< one epoch of each instead of three, and no verdicts
  std::string engine = "fused";  ///< as TrainRunOptions
  std::string device = "auto";
  int threads = 0;
  std::optional<std::filesystem::path> data = {};
  std::filesystem::path output = {};  ///< empty: runs/<date>-reproduce
};

/// What the caller hangs in.
struct ReproduceHooks {
  /// Before the data are downloaded, and every run that is not kept: what stops it from then on. A
  /// token that is stopped already ends the call before that run. Empty: nothing stops one.
  std::function<std::stop_token()> begin_run = {};
  /// Stops the page's interrupted run, in the way a user would; the token of `begin_run` must
  /// follow.
  std::function<void()> interrupt = {};
  std::function<std::vector<RowSinkPtr>()> displays = {};  ///< of one run
  std::function<void(std::string_view)> print = {};  ///< tables and their headings, whole lines
  std::function<void(std::string_view)> say = {};    ///< remarks
};

struct ReproduceResult {
  bool complete = true;  ///< false: stopped by the user; the same call goes on where it was
  std::filesystem::path folder;
  std::vector<ReproducedRun> runs;
};

/// Trains into run folders below `output`, one a network and seed, and writes reproduce.md,
/// reproduce.json and report.html there. A run that `output` holds already, finished and with the
/// same options, is kept, so that an interrupted call goes on where it was. Options and the folder
/// are checked and data are read before anything is written.
/// Throws Error{usage} for options that cannot be, or when `output` holds something else or a run
/// with other options; whatever train_run throws; Error{model} when a summary is not the page's.
ReproduceResult reproduce(const ReproduceOptions& options, const ReproduceHooks& hooks = {});

}  // namespace fatwood
