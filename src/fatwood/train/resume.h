// Going on with a run from one of its checkpoints: which one, what becomes of the rows behind it,
// and the record that it happened. checkpoint.h puts the state back.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <fatwood/train/checkpoint.h>
#include <fatwood/train/recorder.h>
#include <fatwood/train/run_folder.h>

namespace fatwood {

/// A checkpoint to go on from, and those that were newer and could not be used, with the reason.
struct FoundCheckpoint {
  std::filesystem::path path;  ///< empty: there is none
  std::optional<CheckpointFile> file;
  std::vector<std::pair<std::filesystem::path, std::string>> passed_over;
};

/// The newest whole checkpoint in `folder` that counts no more than `rows_bytes` bytes of rows.
/// Throws Error{data} when there are checkpoints and none can be used.
FoundCheckpoint find_checkpoint(const std::filesystem::path& folder, std::uint64_t rows_bytes);

struct ResumeOptions {
  std::filesystem::path checkpoint = {};  ///< empty: the newest whole one
  nlohmann::json machine = {};            ///< what computes now, as in the checkpoints' "machine"
  nlohmann::json data = {};               ///< what is trained on now, as in the checkpoints' "data"
  Callbacks extra = {};                   ///< of the fit that will follow
};

struct Resumed {
  std::filesystem::path checkpoint;  ///< empty: there was none, and the run starts at its beginning
  Position position;
  std::int64_t step = 0;
  std::uint64_t rows_bytes = 0;          ///< of rows.jsonl that count
  std::vector<std::string> passed_over;  ///< "path: why"
  std::vector<std::string> inexact;      ///< "threads 1, the checkpoint was made with 2"
};

/// Puts `learner` to where a checkpoint of `folder` stands, so that the next fit goes on there. No
/// file changes: a resume that is refused leaves the run as it was. Throws Error{data} for a
/// damaged checkpoint or other data than it was trained on, and what restore() throws.
Resumed restore_run(const RunFolder& folder, const RunRows& rows, Learner& learner,
                    const ResumeOptions& options);

/// Puts `recorder` and the files of `folder` there too: later checkpoints set aside under another
/// name, files of a finished run removed, rows behind it cut, a line appended to `restarts.jsonl`.
/// A kill during it leaves a folder that can be resumed again.
void cut_run(RunFolder& folder, RunRows& rows, Recorder& recorder, const Resumed& resumed);

/// The two, one behind the other.
Resumed resume(RunFolder& folder, RunRows& rows, Recorder& recorder, Learner& learner,
               const ResumeOptions& options);

/// One line for the user: where it goes on, what was passed over, what will not be exact.
std::string describe(const Resumed& resumed);

}  // namespace fatwood
