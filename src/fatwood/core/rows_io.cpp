#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/rows_io.h>
#include <fatwood/core/version.h>

namespace fatwood {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

double number(const Json& value) {
  if (!value.is_string()) return value.get<double>();
  const std::string& text = value.get_ref<const std::string&>();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  throw Error(ErrorKind::data, "read_row", "\"" + text + "\" is not a number");
}

Json numbers(const std::vector<double>& values) {
  Json array = Json::array();
  for (double value : values) array.push_back(number(value));
  return array;
}

std::vector<double> numbers(const Json& array) {
  std::vector<double> values;
  for (const Json& value : array) values.push_back(number(value));
  return values;
}

Mode mode_of(const Json& json) {
  const std::string mode = json.value("mode", "train");
  if (mode == "train") return Mode::training;
  if (mode == "eval") return Mode::evaluation;
  throw Error(ErrorKind::data, "read_row", "mode \"" + mode + "\", wanted \"train\" or \"eval\"");
}

std::int64_t count(const Json& json, const char* key) {
  return count_of(json.at(key), "read_row");
}

/// 0 where there is none.
std::int64_t count_or_0(const Json& json, const char* key) {
  return json.contains(key) ? count(json, key) : 0;
}

double elapsed(const Json& json, const char* key = "elapsed_s") {
  const auto timing = json.find("timing");
  return timing == json.end() ? 0 : timing->value(key, 0.0);
}

// More keys would be written and not read again.
void check_metrics(const std::string& subject, std::size_t metrics) {
  if (metrics <= kMostOrderedKeys) return;
  throw Error(ErrorKind::usage, "write_row",
              subject + ": found " + std::to_string(metrics) + " metrics, wanted " +
                  std::to_string(kMostOrderedKeys) + " at most");
}

RunRow run_row(const Json& json) {
  if (const auto format = integer_of<std::int64_t>(json.at("format"), "read_row");
      format != kRunFormat) {
    throw Error(ErrorKind::data, "read_row",
                "run format " + std::to_string(format) + ", wanted " + std::to_string(kRunFormat));
  }
  RunRow row;
  row.model = json.at("model").get<std::string>();
  row.epochs = count(json, "epochs");
  row.batches = count(json, "batches");
  if (row.batches > 0 && row.epochs > kMaxCount / row.batches) {
    throw Error(ErrorKind::data, "read_row",
                std::to_string(row.epochs) + " epochs of " + std::to_string(row.batches) +
                    " batches, wanted 2^50 in all at most");
  }
  row.eval_batches = count_or_0(json, "eval_batches");
  row.batch_size = count_or_0(json, "batch_size");
  if (json.contains("seed")) row.seed = integer_of<std::uint64_t>(json["seed"], "read_row");
  for (const Json& layer : json.value("layers", Json::array())) {
    row.layers.push_back(
        {layer.at("name").get<std::string>(), layer.at("kind").get<std::string>()});
  }
  for (const Json& metric : json.value("metrics", Json::array())) {
    const auto name = metric.at("name").get<std::string>();
    row.metrics.push_back({name, metric.value("title", name), metric.value("unit", ""),
                           metric.value("higher_is_better", true)});
  }
  return row;
}

BatchRow batch_row(const Json& json) {
  return {.mode = mode_of(json),
          .step = count(json, "step"),
          .epoch = count(json, "epoch"),
          .batch = count(json, "batch"),
          .size = count_or_0(json, "size"),
          .loss = number(json.at("loss")),
          .lr = json.contains("lr") ? number(json["lr"]) : 0,
          .momentum = json.contains("momentum") ? number(json["momentum"]) : 0,
          .elapsed_s = elapsed(json)};
}

StatsRow stats_row(const Json& json) {
  StatsRow row{.mode = mode_of(json),
               .step = count(json, "step"),
               .epoch = count_or_0(json, "epoch"),
               .mean = numbers(json.at("mean")),
               .std = numbers(json.at("std")),
               .hist = {}};
  if (!json.contains("hist")) return row;
  for (const Json& layer : json["hist"]) {
    row.hist.emplace_back();
    for (const Json& count : layer) row.hist.back().push_back(count_of(count, "read_row"));
  }
  return row;
}

EpochRow epoch_row(const Json& json) {
  EpochRow row{.mode = mode_of(json),
               .epoch = count(json, "epoch"),
               .step = count_or_0(json, "step"),
               .size = count_or_0(json, "size"),
               .metrics = {},
               .lr = json.contains("lr") ? number(json["lr"]) : 0,
               .duration_s = elapsed(json, "duration_s"),
               .elapsed_s = elapsed(json)};
  for (const auto& [name, value] : json.at("metrics").items())
    row.metrics.emplace_back(name, number(value));
  return row;
}

}  // namespace

std::string to_json_line(const RunRow& row) {
  check_metrics("the run of " + row.model, row.metrics.size());
  Json layers = Json::array();
  for (const LayerInfo& layer : row.layers)
    layers.push_back({{"name", layer.name}, {"kind", layer.kind}});
  Json metrics = Json::array();
  for (const MetricInfo& metric : row.metrics) {
    metrics.push_back({{"name", metric.name},
                       {"title", metric.title},
                       {"unit", metric.unit},
                       {"higher_is_better", metric.higher_is_better}});
  }
  return json_text(Json{{"type", "run"},
                        {"format", kRunFormat},
                        {"fatwood", kVersion},
                        {"model", row.model},
                        {"epochs", row.epochs},
                        {"batches", row.batches},
                        {"eval_batches", row.eval_batches},
                        {"batch_size", row.batch_size},
                        {"seed", row.seed},
                        {"layers", std::move(layers)},
                        {"metrics", std::move(metrics)}});
}

std::string to_json_line(const BatchRow& row) {
  Json json{{"type", "batch"},
            {"step", row.step},
            {"epoch", row.epoch},
            {"batch", row.batch},
            {"size", row.size},
            {"loss", number(row.loss)},
            {"lr", number(row.lr)},
            {"momentum", number(row.momentum)},
            {"timing", {{"elapsed_s", row.elapsed_s}}}};
  if (row.mode == Mode::evaluation) json["mode"] = name_of(row.mode);
  return json_text(json);
}

std::string to_json_line(const StatsRow& row) {
  Json json{{"type", "stats"},           {"step", row.step},          {"epoch", row.epoch},
            {"mode", name_of(row.mode)}, {"mean", numbers(row.mean)}, {"std", numbers(row.std)}};
  if (!row.hist.empty()) json["hist"] = row.hist;
  return json_text(json);
}

std::string to_json_line(const EpochRow& row) {
  check_metrics("epoch " + std::to_string(row.epoch) + ", mode " + std::string(name_of(row.mode)),
                row.metrics.size());
  Json metrics = Json::object();
  for (const auto& [name, value] : row.metrics) metrics[name] = number(value);
  return json_text(
      Json{{"type", "epoch"},
           {"epoch", row.epoch},
           {"mode", name_of(row.mode)},
           {"step", row.step},
           {"size", row.size},
           {"metrics", std::move(metrics)},
           {"lr", number(row.lr)},
           {"timing", {{"duration_s", row.duration_s}, {"elapsed_s", row.elapsed_s}}}});
}

std::string to_json_line(const EventRow& row) {
  return json_text(
      Json{{"type", "event"}, {"step", row.step}, {"what", row.what}, {"reason", row.reason}});
}

std::string to_json_line(const EndRow& row) {
  return json_text(Json{{"type", "end"},
                        {"status", row.status},
                        {"reason", row.reason},
                        {"step", row.step},
                        {"timing", {{"elapsed_s", row.elapsed_s}}}});
}

void read_json_line(const std::string& line, RowSink& sink) {
  try {
    const Json json = parse_json<Json>(line);
    if (!json.is_object()) throw Error(ErrorKind::data, "read_row", "not a JSON object");
    const std::string type = json.value("type", "");
    if (type == "run") sink.begin(run_row(json));
    if (type == "batch") sink.batch(batch_row(json));
    if (type == "stats") sink.stats(stats_row(json));
    if (type == "epoch") sink.epoch(epoch_row(json));
    if (type == "event") {
      sink.event({count_or_0(json, "step"), json.value("what", ""), json.value("reason", "")});
    }
    if (type == "end") {
      sink.end({json.value("status", ""), json.value("reason", ""), count_or_0(json, "step"),
                elapsed(json)});
    }
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::data, "read_row", error.what());
  }
}

}  // namespace fatwood
