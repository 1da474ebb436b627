#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/rows_io.h>
#include <fatwood/io/file.h>
#include <fatwood/recipes/train_resume.h>
#include <fatwood/train/run_folder.h>

namespace fatwood {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kMaxArgsBytes = 16 << 20;
constexpr std::uint64_t kMaxRowsBytes = std::uint64_t{16} << 30;

// Options that say how and where a run is computed, not what it computes.
const std::set<std::string> kFree{"engine", "amp",       "tuning",           "threads",
                                  "device", "data",      "checkpoint-steps", "checkpoint-minutes",
                                  "keep",   "on-diverge"};

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::usage, "resume", what);
}

fs::path without_trailing_slash(const fs::path& path) {
  const fs::path plain = path.lexically_normal();
  return plain.has_filename() ? plain : plain.parent_path();
}

std::string shown(const json& value) {
  return value.is_null() ? "none" : value.is_string() ? value.get<std::string>() : json_text(value);
}

// args.json has "shuffle": true where the command line has --no-shuffle or nothing.
std::string flag_of(const std::string& name) {
  return (name == "shuffle" || name == "decay-norms" ? "--no-" : "--") + name;
}

/// What `part` makes of args.json.
template <typename Part>
auto read_args(const fs::path& run, const Part& part) {
  const fs::path path = run / "args.json";
  try {
    return part(parse_json(read_text_file(path, kMaxArgsBytes)));
  } catch (const json::exception& error) {
    throw Error(ErrorKind::data, "resume", path.string() + ": " + error.what());
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) throw;
    throw Error(ErrorKind::data, "resume", path.string() + ": " + error.what());
  }
}

}  // namespace

TrainRunOptions resume_options(const TrainRunOptions& given, const std::set<std::string>& named,
                               const std::string& what) {
  if (given.overwrite) refuse("--resume and --overwrite contradict each other");
  fs::path run, checkpoint;
  if (what == "auto") {
    if (given.output.empty()) refuse("--resume auto needs --output RUN: which run?");
    if (!RunFolder::holds_run(given.output)) return given;
    run = given.output;
  } else if (fs::is_directory(what)) {
    run = without_trailing_slash(what);
  } else if (fs::exists(what)) {
    checkpoint = what;
    run = fs::absolute(checkpoint).lexically_normal().parent_path().parent_path();
  } else {
    refuse("--resume " + what +
           ": found nothing there, wanted a run folder, one of its checkpoints, or auto");
  }
  if (!RunFolder::holds_run(run))
    refuse("--resume " + what + ": " + run.string() + " holds no run (no args.json)");
  std::error_code error;
  if (!given.output.empty() && !fs::equivalent(given.output, run, error)) {
    refuse("--output " + given.output.string() + " and --resume " + what +
           " are two runs; leave one out");
  }

  const json recorded = read_args(run, [](const json& args) {
    train_options_from_json(args.at("options"));
    return args["options"];
  });
  json now = to_json(given);
  json merged = recorded;
  for (const std::string& name : named) {
    const json value = now.value(name, json()), before = recorded.value(name, json());
    if (kFree.contains(name)) {
      merged[name] = value;
      if (value.is_null()) merged.erase(name);
    } else if (now.contains(name) && value != before) {
      refuse(flag_of(name) + (value.is_boolean() ? "" : " " + shown(value)) +
             " contradicts the run's " + (value.is_boolean() ? name + " " : "") + shown(before) +
             " (" + (run / "args.json").string() + "); leave it out, or start a new run");
    }
  }
  TrainRunOptions options = train_options_from_json(merged);
  options.output = std::move(run);
  options.resume = true;
  options.resume_from = std::move(checkpoint);
  return options;
}

std::string isa_of_run(const fs::path& run) {
  return read_args(
      run, [](const json& args) { return args.value("machine", json::object()).value("isa", ""); });
}

std::string finished_status(const fs::path& run) {
  if (!fs::exists(run / "model.safetensors") || !fs::exists(run / "rows.jsonl")) return "";
  const std::string rows = read_text_file(run / "rows.jsonl", kMaxRowsBytes);
  const std::size_t end = rows.rfind('\n');
  if (end == std::string::npos || end == 0) return "";
  const std::size_t before = rows.rfind('\n', end - 1);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  struct End : RowSink {
    void end(const EndRow& row) override { status = row.status; }
    std::string status;
  } last;
  try {
    read_json_line(rows.substr(begin, end - begin), last);
  } catch (const Error&) {
    return "";  // a damaged row is the resumption's to judge
  }
  return last.status == "completed" || last.status == "cancelled" ? last.status : "";
}

}  // namespace fatwood
