#include <algorithm>
#include <system_error>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/machine.h>
#include <fatwood/io/file.h>
#include <fatwood/train/resume.h>

namespace fatwood {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kCheckpointFolder = "checkpoints";
constexpr const char* kSetAside = ".set-aside";
// What a finished or interrupted run leaves beside its rows; made again at its end.
constexpr const char* kFinalFiles[] = {"model.safetensors", "predictions.json"};

std::uint64_t rows_bytes_of(const json& about) {
  const auto timing = about.find("timing");
  if (timing == about.end() || !timing->contains("rows_bytes")) return 0;
  return integer_of<std::uint64_t>(timing->at("rows_bytes"), "resume");
}

std::string text_of(const json& value) {
  return value.is_string() ? value.get<std::string>() : json_text(value);
}

// "threads 1, the checkpoint was made with 2"
std::vector<std::string> differences(const json& then, const json& now) {
  std::vector<std::string> result;
  if (!then.is_object() || !now.is_object()) return result;
  for (const auto& [key, value] : now.items()) {
    const json before = then.value(key, json());
    if (before != value)
      result.push_back(key + " " + text_of(value) + ", the checkpoint was made with " +
                       text_of(before));
  }
  return result;
}

void set_aside_later(const fs::path& folder, std::int64_t step) {
  bool renamed = false;
  for (const ListedCheckpoint& listed : list_checkpoints(folder)) {
    if (listed.step <= step) continue;
    std::error_code error;
    fs::rename(listed.path, listed.path.string() + kSetAside, error);
    if (error) {
      throw Error(ErrorKind::io, "resume",
                  listed.path.string() + ": cannot be set aside: " + error.message());
    }
    renamed = true;
  }
  if (renamed) sync_folder(folder);
}

}  // namespace

FoundCheckpoint find_checkpoint(const fs::path& folder, std::uint64_t rows_bytes) {
  FoundCheckpoint found;
  const std::vector<ListedCheckpoint> listed = list_checkpoints(folder);
  for (const ListedCheckpoint& candidate : listed) {
    try {
      CheckpointFile file = read_checkpoint(candidate.path);
      if (const std::uint64_t counted_bytes = rows_bytes_of(file.about);
          counted_bytes > rows_bytes) {
        throw Error(ErrorKind::data, "find_checkpoint",
                    candidate.path.string() + ": counts " + counted(counted_bytes, "byte") +
                        " of rows, rows.jsonl has " + std::to_string(rows_bytes));
      }
      found.path = candidate.path;
      found.file = std::move(file);
      return found;
    } catch (const Error& error) {
      found.passed_over.emplace_back(candidate.path, error.what());
    }
  }
  if (!listed.empty()) {
    throw Error(ErrorKind::data, "find_checkpoint",
                folder.string() + ": " + counted(listed.size(), "checkpoint") +
                    ", none of which can be used; the newest: " + found.passed_over.front().second);
  }
  return found;
}

Resumed restore_run(const RunFolder& folder, const RunRows& rows, Learner& learner,
                    const ResumeOptions& options) {
  FoundCheckpoint found;
  if (options.checkpoint.empty()) {
    found = find_checkpoint(folder.file(kCheckpointFolder), rows.bytes());
  } else {
    found.path = options.checkpoint;
    found.file = read_checkpoint(options.checkpoint);
  }
  Resumed resumed;
  resumed.checkpoint = found.path;
  for (const auto& [path, why] : found.passed_over) resumed.passed_over.push_back(why);
  if (!found.file) return resumed;
  const json& about = found.file->about;
  resumed.rows_bytes = rows_bytes_of(about);
  rows.check_cut(resumed.rows_bytes);
  for (const std::string& difference : differences(about.value("data", json()), options.data)) {
    throw Error(ErrorKind::data, "resume", found.path.string() + ": other data: " + difference);
  }
  resumed.inexact = differences(about.value("machine", json()), options.machine);
  resumed.position = restore(*found.file, learner, options.extra);
  resumed.step = step_at(resumed.position, learner.run().training_batches());
  return resumed;
}

void cut_run(RunFolder& folder, RunRows& rows, Recorder& recorder, const Resumed& resumed) {
  if (!resumed.checkpoint.empty()) set_aside_later(folder.file(kCheckpointFolder), resumed.step);
  for (const char* name : kFinalFiles) {
    std::error_code error;
    fs::remove(folder.file(name), error);
    if (error) {
      throw Error(ErrorKind::io, "resume",
                  folder.file(name).string() + ": cannot be removed: " + error.message());
    }
  }
  const std::uint64_t bytes_before = rows.bytes();
  rows.cut_to(resumed.rows_bytes);
  recorder.resume([&rows](RowSink& sink) { rows.replay(sink); });
  const fs::path& checkpoint = resumed.checkpoint;
  folder.add_restart(
      {{"date", this_machine().date},
       {"checkpoint", checkpoint.empty() ? json() : json(checkpoint.filename().string())},
       {"step", resumed.step},
       {"position", describe(resumed.position)},
       {"rows_bytes", resumed.rows_bytes},
       {"rows_bytes_cut", bytes_before - resumed.rows_bytes},
       {"passed_over", resumed.passed_over},
       {"inexact", resumed.inexact}});
}

Resumed resume(RunFolder& folder, RunRows& rows, Recorder& recorder, Learner& learner,
               const ResumeOptions& options) {
  Resumed resumed = restore_run(folder, rows, learner, options);
  cut_run(folder, rows, recorder, resumed);
  return resumed;
}

std::string describe(const Resumed& resumed) {
  std::string text = resumed.checkpoint.empty()
                         ? "no checkpoint yet: starting at the beginning"
                         : "resuming at step " + std::to_string(resumed.step) + " (" +
                               describe(resumed.position) + ") from " + resumed.checkpoint.string();
  for (const std::string& why : resumed.passed_over) text += "\nPASSED OVER: " + why;
  for (const std::string& why : resumed.inexact)
    text += "\nNOT EXACT: the resumed run will differ from an uninterrupted one: " + why;
  return text;
}

}  // namespace fatwood
