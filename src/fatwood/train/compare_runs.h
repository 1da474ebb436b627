// Whether two runs are the same but for times: what `fatwood diff-runs` says and `verify-resume`
// proves.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace fatwood {

/// The first thing in which one file of two runs differs.
struct RunDifference {
  std::string file;   ///< "rows.jsonl"
  std::string where;  ///< "line 12, loss"; empty when one of the runs lacks the file
  std::string what;   ///< "0.52 and 0.53"
};

/// Compares args.json, summary.json, rows.jsonl, summary.csv, predictions.json, model.safetensors
/// and the checkpoints of each step that both have, each to its first difference; empty when there
/// is none. Passed over are the objects "timing", the columns train_s, eval_s and elapsed_s, event
/// rows that tell of the run's files ("checkpoint failed"), and files that no run makes by itself.
/// Which steps a run has checkpoints of depends on its disk too: without one in common none are
/// compared. Throws Error{data} when a folder holds no run or a file cannot be read as what it is.
std::vector<RunDifference> compare_runs(const std::filesystem::path& left,
                                        const std::filesystem::path& right);

/// The steps of which both runs have a checkpoint, newest first.
std::vector<std::int64_t> common_checkpoints(const std::filesystem::path& left,
                                             const std::filesystem::path& right);

}  // namespace fatwood
