#include <algorithm>
#include <limits>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/rows_io.h>
#include <fatwood/io/base64.h>
#include <fatwood/io/file.h>
#include <fatwood/report/run_record.h>

namespace fatwood {
namespace {

using Json = nlohmann::ordered_json;

// Less than a run may write: all of its rows are held at once, beside the text that they come from.
constexpr std::uint64_t kMaxRowsBytes = std::uint64_t{512} << 20;
constexpr std::uint64_t kMaxFileBytes = std::uint64_t{64} << 20;
constexpr std::int64_t kMaxCount = std::int64_t{1} << 50;  // of anything: exact as a double
constexpr std::size_t kMaxLineRemarks = 5;
constexpr std::size_t kMaxClasses = 1000;
constexpr std::int64_t kMaxImageSide = 4096;

bool is_file(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

std::string as_text(const Json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

NamedTexts named_texts(const Json& object) {
  NamedTexts texts;
  if (!object.is_object()) return texts;
  for (const auto& [name, value] : object.items()) texts.emplace_back(name, as_text(value));
  return texts;
}

std::vector<std::string> string_list(const Json& array) {
  std::vector<std::string> texts;
  for (const Json& value : array) texts.push_back(as_text(value));
  return texts;
}

std::int64_t check_count(std::int64_t count) {
  if (count < 0 || count > kMaxCount)
    throw Error(ErrorKind::data, "read_run",
                "found " + std::to_string(count) + ", wanted a count from 0 to 2^50");
  return count;
}

std::int64_t count_of(const Json& value) {
  return check_count(integer_of<std::int64_t>(value, "read_run"));
}

std::int64_t count_at(const Json& object, const char* key, std::int64_t otherwise = 0) {
  const auto value = object.find(key);
  return value == object.end() ? otherwise : count_of(*value);
}

std::vector<std::int64_t> counts_at(const Json& object, const char* key) {
  std::vector<std::int64_t> counts;
  for (const Json& value : object.value(key, Json::array())) counts.push_back(count_of(value));
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
    record.classes = string_list(data["classes"]);
    data.erase("classes");
  }
  record.data = named_texts(data);
}

SummaryRecord summary_of(const Json& json) {
  SummaryRecord summary;
  std::int64_t activation_bytes = 0;  // of all layers, as reports add them
  for (const Json& layer : json.at("layers")) {
    summary.layers.push_back({.name = layer.value("name", ""),
                              .kind = layer.value("kind", ""),
                              .input = counts_at(layer, "input"),
                              .output = counts_at(layer, "output"),
                              .params = count_at(layer, "params"),
                              .macs = count_at(layer, "macs"),
                              .activation_bytes = count_at(layer, "activation_bytes")});
    const LayerRecord& last = summary.layers.back();
    summary.params_total = check_count(summary.params_total + last.params);
    summary.macs_total = check_count(summary.macs_total + last.macs);
    activation_bytes = check_count(activation_bytes + last.activation_bytes);
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
                         .label = count_of(json.at("label")),
                         .predicted = count_of(json.at("predicted")),
                         .probability = real(json, "probability"),
                         .loss = real(json, "loss"),
                         .pixels = {}};
  const auto shape = counts_at(json, "shape");
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

PredictionsRecord predictions_of(const Json& json) {
  PredictionsRecord predictions;
  predictions.classes = string_list(json.value("classes", Json::array()));
  const Json confusion = json.value("confusion", Json::array());
  const std::size_t classes = confusion.size();
  if (classes > kMaxClasses) {
    throw Error(
        ErrorKind::data, "read_run",
        std::to_string(classes) + " classes, wanted at most " + std::to_string(kMaxClasses));
  }
  for (const Json& row : confusion) {
    if (!row.is_array() || row.size() != classes)
      throw Error(ErrorKind::data, "read_run", "the confusion matrix is not square");
    std::vector<std::int64_t>& counts = predictions.confusion.emplace_back();
    for (const Json& count : row) counts.push_back(count_of(count));
  }
  for (const Json& sample : json.value("worst", Json::array()))
    predictions.worst.push_back(sample_of(sample));
  for (const Json& sample : json.value("best", Json::array()))
    predictions.best.push_back(sample_of(sample));
  return predictions;
}

LrFindRecord lr_find_of(const Json& json) {
  LrFindRecord found{.lr = json.at("lr").get<std::vector<double>>(), .loss = {}, .suggestions = {}};
  for (const Json& loss : json.at("loss"))
    found.loss.push_back(loss.is_number() ? loss.get<double>()
                                          : std::numeric_limits<double>::quiet_NaN());
  if (found.loss.size() != found.lr.size()) {
    throw Error(ErrorKind::data, "read_lr_find",
                std::to_string(found.loss.size()) + " losses for " +
                    std::to_string(found.lr.size()) + " learning rates");
  }
  const Json suggestions = json.value("suggestions", Json::object());
  for (const auto& [name, value] : suggestions.items())
    if (value.is_number()) found.suggestions.emplace_back(name, value.get<double>());
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
    record.remarks.push_back(name + " is damaged and was passed over: " + error.what());
  } catch (const Error& error) {
    record.remarks.push_back(name + " was passed over: " + error.what());
  }
}

/// Gathers rows, and refuses those whose counters cannot be.
class Gatherer : public RowSink {
 public:
  explicit Gatherer(RunRecord& record) : record_(record) {}

  void begin(const RunRow& row) override {
    ++rows;
    record_.run = row;
    has_run = true;
  }
  void batch(const BatchRow& row) override {
    count(row.step, row.epoch, row.batch);
    drop_from(record_.batches, row.step);
    record_.batches.push_back(row);
  }
  void stats(const StatsRow& row) override {
    count(row.step, row.epoch, 0);
    // Training and evaluation statistics of one step stand side by side.
    auto& stats = record_.stats;
    while (!stats.empty() && (stats.back().step > row.step ||
                              (stats.back().step == row.step && stats.back().mode == row.mode)))
      stats.pop_back();
    stats.push_back(row);
  }
  void epoch(const EpochRow& row) override {
    count(row.step, row.epoch, 0);
    auto& epochs = record_.epochs;
    while (!epochs.empty() &&
           (epochs.back().epoch > row.epoch ||
            (epochs.back().epoch == row.epoch && epochs.back().mode == row.mode)))
      epochs.pop_back();
    epochs.push_back(row);
  }
  void event(const EventRow& row) override {
    count(row.step, 0, 0);
    record_.events.push_back(row);
  }
  void end(const EndRow& row) override {
    count(row.step, 0, 0);
    record_.end = row;
  }

  std::size_t rows = 0;
  std::size_t dropped = 0;
  bool has_run = false;

 private:
  void count(std::int64_t step, std::int64_t epoch, std::int64_t batch) {
    for (const std::int64_t counter : {step, epoch, batch}) {
      if (counter < 0 || counter > kMaxCount)
        throw Error(ErrorKind::data, "read_row", std::to_string(counter) + " is no step or epoch");
    }
    ++rows;
    // A row after the end: the run was resumed.
    record_.end.reset();
  }
  void drop_from(std::vector<BatchRow>& batches, std::int64_t step) {
    while (!batches.empty() && batches.back().step >= step) {
      batches.pop_back();
      ++dropped;
    }
  }

  RunRecord& record_;
};

// Metrics that the rows have and a missing run record does not name.
void complete_metrics(RunRecord& record) {
  auto& metrics = record.run.metrics;
  for (const EpochRow& row : record.epochs) {
    for (const auto& [name, value] : row.metrics) {
      const bool known =
          std::any_of(metrics.begin(), metrics.end(),
                      [&name = name](const auto& info) { return info.name == name; });
      if (!known) metrics.push_back({name, name, "", name.find("loss") == std::string::npos});
    }
  }
}

}  // namespace

void gather_rows(const std::string& text, RunRecord& record) {
  Gatherer gatherer(record);
  std::size_t line_number = 0;
  std::size_t damaged = 0;
  std::string first_problem;
  for (std::size_t at = 0; at < text.size();) {
    ++line_number;
    const std::size_t newline = text.find('\n', at);
    const bool cut_off = newline == std::string::npos;
    const std::string line = text.substr(at, cut_off ? std::string::npos : newline - at);
    at = cut_off ? text.size() : newline + 1;
    if (line.find_first_not_of(" \r\t") == std::string::npos) continue;
    try {
      if (line.size() > kMaxLineBytes) throw Error(ErrorKind::data, "read_row", "line too long");
      read_json_line(line, gatherer);
    } catch (const Error& error) {
      if (cut_off) {
        record.remarks.push_back("The last row is cut off: the run was killed, or is writing it.");
        continue;
      }
      if (damaged == 0) first_problem = error.what();
      if (++damaged <= kMaxLineRemarks)
        record.remarks.push_back("rows.jsonl, line " + std::to_string(line_number) +
                                 ", is damaged and was passed over.");
    }
  }
  if (damaged > kMaxLineRemarks)
    record.remarks.push_back("rows.jsonl: " + std::to_string(damaged) +
                             " damaged lines were passed over in all.");
  if (damaged > 0 && gatherer.rows == 0) {
    throw Error(ErrorKind::data, "read_run",
                "rows.jsonl: no line is a row of a run; the first one: " + first_problem);
  }
  if (gatherer.rows > 0 && !gatherer.has_run)
    record.remarks.emplace_back("The run record is missing: layer names are unknown.");
  if (gatherer.dropped > 0)
    record.remarks.push_back(std::to_string(gatherer.dropped) +
                             " batches were run again after a rewind or a resume; "
                             "the later ones are shown.");
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
  read_artefact("predictions.json", record,
                [&](const Json& json) { record.predictions = predictions_of(json); });
  read_artefact("lr_find.json", record,
                [&](const Json& json) { record.lr_find = lr_find_of(json); });
  return record;
}

LrFindRecord read_lr_find(const std::filesystem::path& file) {
  try {
    return lr_find_of(parse_json<Json>(read_text_file(file, kMaxFileBytes)));
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::data, "read_lr_find", file.string() + ": " + error.what());
  }
}

}  // namespace fatwood
