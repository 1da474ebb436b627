#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/io/checkpoint_file.h>
#include <fatwood/io/file.h>
#include <fatwood/train/compare_runs.h>
#include <fatwood/train/run_folder.h>

namespace fatwood {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxComparedBytes = std::uint64_t{16} << 30;

std::string shortened(std::string text) {
  constexpr std::size_t kLongest = 80;
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "…";
  return text;
}

std::string and_between(const std::string& left, const std::string& right) {
  return shortened(left) + " and " + shortened(right);
}

// The path and the values of the first difference, keys in order; "timing" anywhere is passed over.
std::optional<RunDifference> first_difference(const Json& left, const Json& right,
                                              const std::string& where) {
  if (left.is_object() && right.is_object()) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : left.items()) keys.push_back(key);
    for (const auto& [key, value] : right.items()) {
      if (!left.contains(key)) keys.push_back(key);
    }
    for (const std::string& key : keys) {
      if (key == "timing") continue;
      const std::string inner = where.empty() ? key : where + "." + key;
      if (!left.contains(key) || !right.contains(key)) {
        return RunDifference{"", inner,
                             and_between(left.contains(key) ? left[key].dump() : "nothing",
                                         right.contains(key) ? right[key].dump() : "nothing")};
      }
      if (auto found = first_difference(left[key], right[key], inner)) return found;
    }
    return std::nullopt;
  }
  if (left.is_array() && right.is_array() && left.size() == right.size()) {
    for (std::size_t i = 0; i < left.size(); ++i) {
      if (auto found = first_difference(left[i], right[i], where + "[" + std::to_string(i) + "]"))
        return found;
    }
    return std::nullopt;
  }
  // As text: 1 and 1.0 are two spellings, and bytes are promised.
  if (left.dump() == right.dump()) return std::nullopt;
  return RunDifference{"", where, and_between(left.dump(), right.dump())};
}

Json parse(const std::string& text, const fs::path& path) {
  try {
    return parse_json<Json>(text);
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::data, "diff_runs", path.string() + ": " + error.what());
  }
}

std::string text_of_file(const fs::path& path) {
  return read_text_file(path, kMaxComparedBytes);
}

std::optional<RunDifference> compare_json(const fs::path& left, const fs::path& right) {
  return first_difference(parse(text_of_file(left), left), parse(text_of_file(right), right), "");
}

struct Row {
  std::size_t line = 0;
  Json json;
};

std::vector<Row> rows_of(const fs::path& path) {
  std::vector<Row> rows;
  std::istringstream text(text_of_file(path));
  std::size_t number = 0;
  for (std::string line; std::getline(text, line);) {
    ++number;
    Json json = parse(line, path.string() + ", line " + std::to_string(number));
    // What befell the run's files is not what it computed.
    if (json.is_object() && json.value("type", "") == "event" &&
        json.value("what", "") == "checkpoint failed")
      continue;
    rows.push_back({number, std::move(json)});
  }
  return rows;
}

std::optional<RunDifference> compare_rows(const fs::path& left_path, const fs::path& right_path) {
  const std::vector<Row> left = rows_of(left_path), right = rows_of(right_path);
  for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    if (auto found = first_difference(left[i].json, right[i].json, "")) {
      std::string lines = "line " + std::to_string(left[i].line);
      if (left[i].line != right[i].line) lines += " and line " + std::to_string(right[i].line);
      found->where = lines + (found->where.empty() ? "" : ", " + found->where);
      return found;
    }
  }
  if (left.size() == right.size()) return std::nullopt;
  return RunDifference{
      "", "length",
      and_between(std::to_string(left.size()) + " rows", std::to_string(right.size()) + " rows")};
}

std::vector<std::vector<std::string>> cells_of(const fs::path& path) {
  std::vector<std::vector<std::string>> lines;
  std::istringstream text(text_of_file(path));
  for (std::string line; std::getline(text, line);) {
    std::vector<std::string>& cells = lines.emplace_back(1);
    for (const char c : line) {
      if (c == ',') {
        cells.emplace_back();
      } else {
        cells.back() += c;
      }
    }
  }
  return lines;
}

std::optional<RunDifference> compare_csv(const fs::path& left_path, const fs::path& right_path) {
  static const std::set<std::string> kTimes{"train_s", "eval_s", "elapsed_s"};
  const auto left = cells_of(left_path), right = cells_of(right_path);
  for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    const std::string line = "line " + std::to_string(i + 1);
    if (left[i].size() != right[i].size()) {
      return RunDifference{"", line,
                           and_between(std::to_string(left[i].size()) + " columns",
                                       std::to_string(right[i].size()) + " columns")};
    }
    for (std::size_t j = 0; j < left[i].size(); ++j) {
      const std::string column = j < left[0].size() ? left[0][j] : std::to_string(j);
      if (left[i][j] == right[i][j] || (i > 0 && kTimes.contains(column))) continue;
      return RunDifference{"", line + ", " + column, and_between(left[i][j], right[i][j])};
    }
  }
  if (left.size() == right.size()) return std::nullopt;
  return RunDifference{
      "", "length",
      and_between(std::to_string(left.size()) + " lines", std::to_string(right.size()) + " lines")};
}

std::optional<RunDifference> compare_tensors(const Safetensors& left, const Safetensors& right,
                                             const std::set<std::string>& except = {}) {
  for (const TensorView& a : left.tensors()) {
    if (except.contains(a.name)) continue;
    const TensorView* b = right.find(a.name);
    if (!b) return RunDifference{"", a.name, "there and missing"};
    if (a.dtype != b->dtype || a.shape != b->shape)
      return RunDifference{"", a.name, "of two types or shapes"};
    const auto at = std::mismatch(a.data.begin(), a.data.end(), b->data.begin()).first;
    if (at == a.data.end()) continue;
    const auto element = static_cast<std::uint64_t>(at - a.data.begin()) / size_of(a.dtype);
    return RunDifference{"", a.name, "differ first in element " + std::to_string(element)};
  }
  for (const TensorView& b : right.tensors()) {
    if (!left.find(b.name)) return RunDifference{"", b.name, "missing and there"};
  }
  return std::nullopt;
}

std::optional<RunDifference> compare_weights(const fs::path& left_path,
                                             const fs::path& right_path) {
  const Safetensors left = Safetensors::read(left_path), right = Safetensors::read(right_path);
  if (auto found = compare_tensors(left, right)) return found;
  if (left.metadata() != right.metadata()) return RunDifference{"", "metadata", "differ"};
  return std::nullopt;
}

/// Of each step that both runs have one of, newest first. Which steps a run has them of depends on
/// how fast its disk was.
std::vector<std::pair<fs::path, ListedCheckpoint>> common(const fs::path& left_run,
                                                          const fs::path& right_run) {
  std::map<std::int64_t, fs::path> lefts;
  for (const ListedCheckpoint& listed : list_checkpoints(left_run / "checkpoints"))
    lefts.emplace(listed.step, listed.path);
  std::vector<std::pair<fs::path, ListedCheckpoint>> found;
  for (const ListedCheckpoint& listed : list_checkpoints(right_run / "checkpoints")) {
    if (const auto left = lefts.find(listed.step); left != lefts.end())
      found.emplace_back(left->second, listed);
  }
  return found;
}

std::optional<RunDifference> compare_checkpoints(const fs::path& left_run,
                                                 const fs::path& right_run) {
  for (const auto& [left_path, listed] : common(left_run, right_run)) {
    const CheckpointFile left = read_checkpoint(left_path), right = read_checkpoint(listed.path);
    // The state of what a run computes, position first: it says most when the two differ.
    if (auto found = first_difference(Json(left.about), Json(right.about), "")) return found;
    if (auto found = compare_tensors(left.tensors, right.tensors, {"digest"})) return found;
  }
  return std::nullopt;
}

using Compare = std::optional<RunDifference> (*)(const fs::path&, const fs::path&);

}  // namespace

std::vector<RunDifference> compare_runs(const fs::path& left, const fs::path& right) {
  for (const fs::path& run : {left, right}) {
    if (!RunFolder::holds_run(run)) {
      throw Error(ErrorKind::data, "diff_runs",
                  run.string() + ": holds no run, wanted a folder with args.json");
    }
  }
  const std::pair<const char*, Compare> files[] = {
      {"args.json", compare_json},        {"summary.json", compare_json},
      {"rows.jsonl", compare_rows},       {"summary.csv", compare_csv},
      {"predictions.json", compare_json}, {"model.safetensors", compare_weights}};
  std::vector<RunDifference> differences;
  const auto note = [&](const char* file, std::optional<RunDifference> difference) {
    if (!difference) return;
    difference->file = file;
    differences.push_back(std::move(*difference));
  };
  for (const auto& [file, compare] : files) {
    const bool in_left = fs::exists(left / file), in_right = fs::exists(right / file);
    if (in_left && in_right) note(file, compare(left / file, right / file));
    if (in_left != in_right)
      note(file, RunDifference{"", "", in_left ? "there and missing" : "missing and there"});
  }
  note("checkpoints", compare_checkpoints(left, right));
  return differences;
}

std::vector<std::int64_t> common_checkpoints(const fs::path& left, const fs::path& right) {
  std::vector<std::int64_t> steps;
  for (const auto& [path, listed] : common(left, right)) steps.push_back(listed.step);
  return steps;
}

}  // namespace fatwood
