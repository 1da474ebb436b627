#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/rows_io.h>
#include <fatwood/core/text.h>
#include <fatwood/io/checkpoint_file.h>
#include <fatwood/io/file.h>
#include <fatwood/train/compare_runs.h>
#include <fatwood/train/run_folder.h>

namespace fatwood {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxComparedFileBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kMaxComparedRowsBytes = std::uint64_t{2} << 30;
constexpr std::size_t kLongestValue = 80;
constexpr std::size_t kLongestName = 200;

std::string and_between(const std::string& left, const std::string& right) {
  return one_line(left, kLongestValue) + " and " + one_line(right, kLongestValue);
}

// `difference`, which lies in what stands at `at` of something larger.
std::optional<RunDifference> within(const std::string& at,
                                    std::optional<RunDifference> difference) {
  if (difference) {
    std::string& where = difference->where;
    where = at + (where.empty() || where[0] == '[' ? "" : ".") + where;
  }
  return difference;
}

// The path and the values of the first difference, keys in order; "timing" anywhere is passed over.
std::optional<RunDifference> first_difference(const Json& left, const Json& right) {
  if (left.is_object() && right.is_object()) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : left.items()) keys.push_back(key);
    for (const auto& [key, value] : right.items()) {
      if (!left.contains(key)) keys.push_back(key);
    }
    for (const std::string& key : keys) {
      if (key == "timing") continue;
      const auto in_left = left.find(key), in_right = right.find(key);
      if (in_left == left.end() || in_right == right.end()) {
        return RunDifference{
            "", key,
            and_between(in_left != left.end() ? json_text(*in_left) : "nothing",
                        in_right != right.end() ? json_text(*in_right) : "nothing")};
      }
      if (auto found = first_difference(*in_left, *in_right)) return within(key, std::move(found));
    }
    return std::nullopt;
  }
  if (left.is_array() && right.is_array() && left.size() == right.size()) {
    for (std::size_t i = 0; i < left.size(); ++i) {
      if (auto found = first_difference(left[i], right[i]))
        return within("[" + std::to_string(i) + "]", std::move(found));
    }
    return std::nullopt;
  }
  // As text: 1 and 1.0 are two spellings, and bytes are promised.
  const std::string left_text = json_text(left), right_text = json_text(right);
  if (left_text == right_text) return std::nullopt;
  return RunDifference{"", "", and_between(left_text, right_text)};
}

Json parse(const std::string& text, const fs::path& path) {
  try {
    return parse_json<Json>(text);
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::data, "diff_runs", path.string() + ": " + error.what());
  }
}

std::optional<RunDifference> compare_json(const fs::path& left, const fs::path& right) {
  return first_difference(parse(read_text_file(left, kMaxComparedFileBytes), left),
                          parse(read_text_file(right, kMaxComparedFileBytes), right));
}

/// The lines of a file, one after another.
class Lines {
 public:
  Lines(const fs::path& path, std::uint64_t most) : text_(read_text_file(path, most)) {}
  /// The next one; none behind the last.
  std::optional<std::string_view> next() {
    if (at_ >= text_.size()) return std::nullopt;
    const std::size_t end = std::min(text_.find('\n', at_), text_.size());
    const std::string_view line(text_.data() + at_, end - at_);
    at_ = end + 1;
    ++number_;
    return line;
  }
  /// Of the line that came last, from 1.
  std::size_t number() const { return number_; }

 private:
  std::string text_;
  std::size_t at_ = 0;
  std::size_t number_ = 0;
};

/// The rows of a run one after another, without those that tell of its files: what befell these is
/// not what it computed.
class Rows {
 public:
  explicit Rows(const fs::path& path) : path_(path), lines_(path, kMaxComparedRowsBytes) {}
  std::optional<Json> next() {
    while (const auto line = lines_.next()) {
      const std::string where = path_.string() + ", line " + std::to_string(line_number());
      if (line->size() > kMaxLineBytes)
        throw Error(ErrorKind::data, "diff_runs", where + ": too long for a row");
      Json row = parse(std::string(*line), where);
      const auto has = [&row](const char* key, const char* text) {
        const auto value = row.find(key);
        return value != row.end() && *value == text;
      };
      if (row.is_object() && has("type", "event") && has("what", "checkpoint failed")) continue;
      return row;
    }
    return std::nullopt;
  }
  std::size_t line_number() const { return lines_.number(); }

 private:
  fs::path path_;
  Lines lines_;
};

/// How many are left in `source`, Lines or Rows.
template <class Source>
std::size_t rest_of(Source& source) {
  std::size_t count = 0;
  while (source.next()) ++count;
  return count;
}

std::optional<RunDifference> lengths(std::size_t left, std::size_t right, const std::string& of) {
  if (left == right) return std::nullopt;
  return RunDifference{"", "length",
                       and_between(std::to_string(left) + of, std::to_string(right) + of)};
}

std::optional<RunDifference> compare_rows(const fs::path& left_path, const fs::path& right_path) {
  Rows left(left_path), right(right_path);
  for (std::size_t same = 0;; ++same) {
    const std::optional<Json> a = left.next(), b = right.next();
    if (!a || !b) {
      return lengths(same + (a ? 1 + rest_of(left) : 0), same + (b ? 1 + rest_of(right) : 0),
                     " rows");
    }
    auto found = first_difference(*a, *b);
    if (!found) continue;
    std::string lines = "line " + std::to_string(left.line_number());
    if (left.line_number() != right.line_number())
      lines += " and line " + std::to_string(right.line_number());
    found->where = lines + (found->where.empty() ? "" : ", " + found->where);
    return found;
  }
}

std::vector<std::string> cells_of(std::string_view line) {
  std::vector<std::string> cells;
  for (std::size_t at = 0, end = 0; end < line.size() || at == 0; at = end + 1) {
    end = std::min(line.find(',', at), line.size());
    cells.emplace_back(line.substr(at, end - at));
  }
  return cells;
}

std::optional<RunDifference> compare_csv(const fs::path& left_path, const fs::path& right_path) {
  static const std::set<std::string> kTimes{"train_s", "eval_s", "elapsed_s"};
  Lines left(left_path, kMaxComparedFileBytes), right(right_path, kMaxComparedFileBytes);
  std::vector<std::string> headings;
  for (std::size_t same = 0;; ++same) {
    const auto a = left.next(), b = right.next();
    if (!a || !b)
      return lengths(same + (a ? 1 + rest_of(left) : 0), same + (b ? 1 + rest_of(right) : 0),
                     " lines");
    const std::vector<std::string> as = cells_of(*a), bs = cells_of(*b);
    if (same == 0) headings = as;
    const std::string line = "line " + std::to_string(same + 1);
    if (as.size() != bs.size()) {
      return RunDifference{"", line,
                           and_between(std::to_string(as.size()) + " columns",
                                       std::to_string(bs.size()) + " columns")};
    }
    for (std::size_t j = 0; j < as.size(); ++j) {
      const std::string column = j < headings.size() ? headings[j] : std::to_string(j);
      if (as[j] == bs[j] || (same > 0 && kTimes.contains(column))) continue;
      return RunDifference{"", line + ", " + column, and_between(as[j], bs[j])};
    }
  }
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
    if (auto found = first_difference(Json(left.about), Json(right.about))) return found;
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
    difference->where = one_line(difference->where, kLongestName);
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
