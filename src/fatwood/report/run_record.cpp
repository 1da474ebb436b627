#include <algorithm>
#include <limits>
#include <set>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/rows_io.h>
#include <fatwood/core/shown_rows.h>
#include <fatwood/core/text.h>
#include <fatwood/io/base64.h>
#include <fatwood/io/file.h>
#include <fatwood/report/run_record.h>

namespace fatwood {
namespace {

using Json = nlohmann::ordered_json;

// Less than a run may write: all of its rows are held at once, beside the text that they come from.
constexpr std::uint64_t kMaxRowsBytes = std::uint64_t{512} << 20;
constexpr std::uint64_t kMaxFileBytes = std::uint64_t{64} << 20;
constexpr std::size_t kLongestRemark = 300;
// A page shows each of these, and each cell of a confusion matrix.
constexpr std::size_t kMaxShownClasses = 256;
constexpr std::size_t kMaxClasses = 10'000;
constexpr std::size_t kMaxLayers = 10'000;
constexpr std::size_t kMaxSamples = 1000;
constexpr std::int64_t kMaxImageSide = 4096;

bool is_file(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

std::string as_text(const Json& value, std::size_t longest = kLongestShownText) {
  return one_line(value.is_string() ? value.get_ref<const std::string&>() : json_text(value),
                  longest);
}

NamedTexts named_texts(const Json& object) {
  NamedTexts texts;
  if (!object.is_object()) return texts;
  for (const auto& [name, value] : object.items())
    texts.emplace_back(one_line(name, kLongestShownName), as_text(value));
  return texts;
}

/// The list `key` of `object`, of `most` elements at most; an empty one where there is none.
const Json& list_at(const Json& object, const char* key, std::size_t most = kMaxFileBytes) {
  static const Json none = Json::array();
  const auto value = object.find(key);
  if (value == object.end()) return none;
  const std::string where = std::string(" as \"") + key + "\", wanted a list";
  if (!value->is_array())
    throw Error(ErrorKind::data, "read_run", "found " + std::string(value->type_name()) + where);
  if (value->size() > most) {
    throw Error(
        ErrorKind::data, "read_run",
        "found " + std::to_string(value->size()) + where + " of at most " + std::to_string(most));
  }
  return *value;
}

/// The same where it must be there.
const Json& needed_list_at(const Json& object, const char* key, std::size_t most = kMaxFileBytes) {
  if (!object.contains(key))
    throw Error(ErrorKind::data, "read_run", std::string("found no \"") + key + "\"");
  return list_at(object, key, most);
}

std::vector<std::string> class_names(const Json& object) {
  std::vector<std::string> names;
  for (const Json& value : list_at(object, "classes", kMaxClasses))
    names.push_back(as_text(value, kLongestShownName));
  return names;
}

std::int64_t count_at(const Json& object, const char* key, std::int64_t otherwise = 0) {
  const auto value = object.find(key);
  return value == object.end() ? otherwise : count_of(*value, "read_run");
}

std::vector<std::int64_t> counts_of(const Json& list) {
  std::vector<std::int64_t> counts;
  for (const Json& value : list) counts.push_back(count_of(value, "read_run"));
  return counts;
}

// A folder of another version cannot be guessed at. `text` is the file's first object.
void check_format(const std::filesystem::path& file, const std::string& text) {
  Json json;
  try {
    json = parse_json<Json>(text);
  } catch (const nlohmann::json::exception&) {
    return;  // whoever reads it says what is wrong
  }
  if (!json.is_object()) return;
  const auto format = json.find("format");
  if (format != json.end() && *format != kRunFormat) {
    throw Error(ErrorKind::data, "read_run",
                file.string() + ": run format " + as_text(*format) + ", wanted " +
                    std::to_string(kRunFormat));
  }
}

void read_args(const Json& json, RunRecord& record) {
  const auto text_at = [&](const char* key) {
    return json.contains(key) ? as_text(json[key]) : std::string();
  };
  record.fatwood_version = text_at("fatwood");
  record.libtorch_version = text_at("libtorch");
  const Json timing = json.value("timing", Json::object());
  if (timing.contains("started")) record.started = as_text(timing["started"]);
  record.machine = named_texts(json.value("machine", Json::object()));
  record.options = named_texts(json.value("options", Json::object()));
  Json data = json.value("data", Json::object());
  if (data.contains("classes")) {
    record.classes = class_names(data);
    data.erase("classes");
  }
  record.data = named_texts(data);
}

SummaryRecord summary_of(const Json& json) {
  SummaryRecord summary;
  std::int64_t activation_bytes = 0;  // of all layers, as reports add them
  for (const Json& layer : needed_list_at(json, "layers", kMaxLayers)) {
    summary.layers.push_back({.name = one_line(layer.value("name", ""), kLongestShownName),
                              .kind = one_line(layer.value("kind", ""), kLongestShownName),
                              .input = counts_of(list_at(layer, "input")),
                              .output = counts_of(list_at(layer, "output")),
                              .params = count_at(layer, "params"),
                              .macs = count_at(layer, "macs"),
                              .activation_bytes = count_at(layer, "activation_bytes")});
    const LayerRecord& last = summary.layers.back();
    summary.params_total = check_count(summary.params_total + last.params, "read_run");
    summary.macs_total = check_count(summary.macs_total + last.macs, "read_run");
    activation_bytes = check_count(activation_bytes + last.activation_bytes, "read_run");
  }
  summary.params_total = count_at(json, "params_total", summary.params_total);
  summary.macs_total = count_at(json, "macs_total", summary.macs_total);
  return summary;
}

// JSON has no numbers that are not finite: they are null.
double real(const Json& json, const char* key) {
  const auto value = json.find(key);
  return value != json.end() && value->is_number() ? value->get<double>()
                                                   : std::numeric_limits<double>::quiet_NaN();
}

PredictedSample sample_of(const Json& json) {
  PredictedSample sample{.index = count_at(json, "index"),
                         .label = count_of(json.at("label"), "read_run"),
                         .predicted = count_of(json.at("predicted"), "read_run"),
                         .probability = real(json, "probability"),
                         .loss = real(json, "loss"),
                         .pixels = {}};
  const auto shape = counts_of(list_at(json, "shape"));
  const auto pixels = from_base64(json.value("pixels", ""));
  const bool sides_fit =
      shape.size() == 3 && (shape[0] == 1 || shape[0] == 3) &&
      std::all_of(shape.begin(), shape.end(), [](auto n) { return n >= 1 && n <= kMaxImageSide; });
  if (sides_fit && pixels &&
      pixels->size() == static_cast<std::size_t>(shape[0] * shape[1] * shape[2])) {
    sample.channels = static_cast<int>(shape[0]);
    sample.height = static_cast<int>(shape[1]);
    sample.width = static_cast<int>(shape[2]);
    sample.pixels = *pixels;
  }
  return sample;
}

PredictionsRecord predictions_of(const Json& json, std::vector<std::string>& remarks) {
  PredictionsRecord predictions;
  predictions.classes = class_names(json);
  const Json& confusion = list_at(json, "confusion");
  const std::size_t classes = confusion.size();
  for (const Json& row : confusion) {
    if (!row.is_array() || row.size() != classes)
      throw Error(ErrorKind::data, "read_run", "the confusion matrix is not square");
    if (classes <= kMaxShownClasses) predictions.confusion.push_back(counts_of(row));
  }
  for (const Json& sample : list_at(json, "worst", kMaxSamples))
    predictions.worst.push_back(sample_of(sample));
  for (const Json& sample : list_at(json, "best", kMaxSamples))
    predictions.best.push_back(sample_of(sample));
  if (classes > kMaxShownClasses)
    remarks.push_back("The confusion matrix of " + std::to_string(classes) +
                      " classes is left out: at most " + std::to_string(kMaxShownClasses) +
                      " are shown.");
  return predictions;
}

LrFindRecord lr_find_of(const Json& json) {
  LrFindRecord found{.lr = json.at("lr").get<std::vector<double>>(), .loss = {}, .suggestions = {}};
  for (const Json& loss : needed_list_at(json, "loss"))
    found.loss.push_back(loss.is_number() ? loss.get<double>()
                                          : std::numeric_limits<double>::quiet_NaN());
  if (found.loss.size() != found.lr.size()) {
    throw Error(ErrorKind::data, "read_lr_find",
                std::to_string(found.loss.size()) + " losses for " +
                    std::to_string(found.lr.size()) + " learning rates");
  }
  const Json suggestions = json.value("suggestions", Json::object());
  for (const auto& [name, value] : suggestions.items())
    if (value.is_number())
      found.suggestions.emplace_back(one_line(name, kLongestShownName), value.get<double>());
  return found;
}

// Hands the object in `file`, if the folder has that file, to `read`; what goes wrong becomes a
// remark.
template <typename Read>
void read_artefact(const std::string& name, RunRecord& record, const Read& read) {
  const std::filesystem::path file = record.folder / name;
  if (!is_file(file)) return;
  try {
    const Json json = parse_json<Json>(read_text_file(file, kMaxFileBytes));
    if (!json.is_object()) throw Error(ErrorKind::data, "read_run", "not a JSON object");
    read(json);
  } catch (const nlohmann::json::exception& error) {
    record.remarks.push_back(
        name + " is damaged and was passed over: " + one_line(error.what(), kLongestRemark));
  } catch (const Error& error) {
    record.remarks.push_back(name + " was passed over: " + one_line(error.what(), kLongestRemark));
  }
}

// Metrics that the rows have and a missing run record does not name.
void complete_metrics(RunRecord& record) {
  auto& metrics = record.run.metrics;
  std::set<std::string> known;
  for (const MetricInfo& metric : metrics) known.insert(metric.name);
  for (const EpochRow& row : record.epochs) {
    for (const auto& [name, value] : row.metrics) {
      if (metrics.size() < kMostShownMetrics && known.insert(name).second)
        metrics.push_back({name, name, "", name.find("loss") == std::string::npos});
    }
  }
}

}  // namespace

std::string class_name(std::span<const std::string> classes, std::int64_t label) {
  if (label >= 0 && label < static_cast<std::int64_t>(classes.size()))
    return classes[static_cast<std::size_t>(label)];
  return "class " + std::to_string(label);
}

RunRecord read_run(const std::filesystem::path& folder) {
  RunRecord record;
  record.folder = folder;
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    throw Error(ErrorKind::data, "read_run",
                folder.string() + ": " +
                    (std::filesystem::exists(folder, error) ? "a file, wanted the folder of a run"
                                                            : "no such folder"));
  }
  const auto absolute = std::filesystem::weakly_canonical(folder, error);
  record.name = (error ? folder : absolute).filename().string();
  if (record.name.empty()) record.name = folder.string();

  const auto rows = folder / "rows.jsonl";
  const auto args = folder / "args.json";
  if (!is_file(rows) && !is_file(args)) {
    throw Error(ErrorKind::data, "read_run",
                folder.string() + ": not a run: found neither rows.jsonl nor args.json");
  }
  if (is_file(args)) {
    check_format(args, read_text_file(args, kMaxFileBytes));
    read_artefact("args.json", record, [&](const Json& json) { read_args(json, record); });
  } else {
    record.remarks.emplace_back("args.json is missing: the run's options are unknown.");
  }
  if (is_file(rows)) {
    const std::string text = read_text_file(rows, kMaxRowsBytes);
    check_format(rows, text.substr(0, std::min(text.find('\n'), kMaxLineBytes)));
    try {
      gather_rows(text, record);
    } catch (const Error& error) {
      throw Error(error.kind(), "read_run", folder.string() + ": " + error.what());
    }
  }
  if (record.batches.empty() && record.epochs.empty())
    record.remarks.emplace_back("The run has no rows yet.");
  if (!record.end)
    record.remarks.emplace_back(
        "The run has no end record: it is still going on, or it was killed.");
  complete_metrics(record);

  read_artefact("summary.json", record,
                [&](const Json& json) { record.summary = summary_of(json); });
  read_artefact("predictions.json", record, [&](const Json& json) {
    record.predictions = predictions_of(json, record.remarks);
  });
  read_artefact("lr_find.json", record,
                [&](const Json& json) { record.lr_find = lr_find_of(json); });
  return record;
}

LrFindRecord read_lr_find(const std::filesystem::path& file) {
  const std::string text = read_text_file(file, kMaxFileBytes);
  try {
    return lr_find_of(parse_json<Json>(text));
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::data, "read_lr_find", file.string() + ": " + error.what());
  } catch (const Error& error) {
    throw Error(error.kind(), "read_lr_find", file.string() + ": " + error.what());
  }
}

}  // namespace fatwood
