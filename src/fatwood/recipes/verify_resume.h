// verify_resume: proof, on the machine at hand, that a killed run goes on as if nothing had
// happened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace fatwood {

struct VerifyResumeOptions {
  std::filesystem::path program = {};   ///< the fatwood program
  std::vector<std::string> train = {};  ///< options of its `train`, without --output
  std::filesystem::path folder = {};    ///< an empty or new folder for the runs
  int trials = 5;                       ///< runs that are killed; every second one is killed twice
  std::uint64_t seed = 1;               ///< of the steps at which they are killed
  std::function<void(std::string_view)> say = {};
};

/// One killed run. `problem` is empty when every resume began at the newest whole checkpoint, past
/// step 0, and the finished run equals the uninterrupted one (train/compare_runs.h).
struct VerifyTrial {
  std::vector<std::int64_t> killed_at = {};   ///< training batches done
  std::vector<std::int64_t> resumed_at = {};  ///< step of the checkpoint
  std::string problem = {};
};

/// Trains once without a kill, then once for each trial: SIGKILL at a random step behind the first
/// checkpoint, resume, compare. Throws Error{usage} for no trials or a folder that is not empty,
/// Error{io} when the program cannot be started, Error of its kind when the uninterrupted run
/// fails.
std::vector<VerifyTrial> verify_resume(const VerifyResumeOptions& options);

}  // namespace fatwood
