#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>

#include <nlohmann/json.hpp>

#include <fatwood/core/table.h>
#include <fatwood/core/text.h>
#include <fatwood/report/comparison.h>
#include <fatwood/report/html_sections.h>
#include <fatwood/report/html_writer.h>
#include <fatwood/report/number_text.h>
#include <fatwood/report/plots.h>

namespace fatwood {
namespace {

using Cell = HtmlTable::Cell;

constexpr std::size_t kMaxEvents = 100;
constexpr std::size_t kMaxEpochCells = 200'000;

Cell num(std::string text) {
  return {std::move(text), "num"};
}
Cell name(std::string text) {
  return {std::move(text), "text", true};
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t n : shape) text += (text.empty() ? "" : " × ") + std::to_string(n);
  return text;
}

std::string bytes_text(double bytes) {
  if (bytes >= 1 << 20) return fixed(bytes / (1 << 20), 1) + " MiB";
  if (bytes >= 1 << 10) return fixed(bytes / (1 << 10), 1) + " KiB";
  return fixed(bytes, 0) + " B";
}

std::string heading_of(const MetricInfo& metric) {
  return metric.title.empty() ? metric.name : metric.title;
}

double seconds_per_epoch(const RunRecord& run) {
  double total = 0;
  double epochs = 0;
  for (const EpochRow& row : run.epochs) {
    if (row.mode != Mode::training) continue;
    total += row.duration_s;
    ++epochs;
  }
  return epochs > 0 ? total / epochs : 0;
}

std::string parameters_of(const RunRecord& run) {
  return run.summary ? with_commas(run.summary->params_total) : "–";
}

double elapsed_of(const RunRecord& run) {
  if (run.end) return run.end->elapsed_s;
  return run.batches.empty() ? 0 : run.batches.back().elapsed_s;
}

std::int64_t epochs_done(const RunRecord& run) {
  std::int64_t done = 0;
  for (const EpochRow& row : run.epochs)
    if (row.mode == Mode::training) done = std::max(done, row.epoch + 1);
  return done;
}

// The best of a metric's values; what is not finite is never the best.
class BestValue {
 public:
  explicit BestValue(const MetricInfo& metric) : higher_is_better_(metric.higher_is_better) {}
  void add(double value) {
    if (!std::isfinite(value)) return;
    if (!best_ || (higher_is_better_ ? value > *best_ : value < *best_)) best_ = value;
  }
  const char* cell_classes(double value) const { return best_ == value ? "num best" : "num"; }

 private:
  bool higher_is_better_;
  std::optional<double> best_;
};

// NaN where the row lacks the metric.
double value_in(const EpochRow& row, const std::string& metric) {
  for (const auto& [key, value] : row.metrics)
    if (key == metric) return value;
  return std::numeric_limits<double>::quiet_NaN();
}

std::vector<BestValue> best_evaluations(const RunRecord& run) {
  std::vector<BestValue> best;
  for (const MetricInfo& metric : run.run.metrics) {
    BestValue& of_metric = best.emplace_back(metric);
    for (const EpochRow& row : run.epochs)
      if (row.mode == Mode::evaluation) of_metric.add(value_in(row, metric.name));
  }
  return best;
}

std::string card(const std::string& term, const std::string& value, const std::string& detail) {
  return "<div><dt>" + escaped(term) + "</dt><dd>" + escaped(value) +
         (detail.empty() ? "" : "<small>" + escaped(detail) + "</small>") + "</dd></div>\n";
}

// JSON inside <script>: "<" could end the element.
std::string script_json(const Spec& spec) {
  const std::string text = spec.dump(-1, ' ', false, Spec::error_handler_t::replace);
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) {
    if (c == '<') {
      safe += "\\u003c";
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string figure(const Spec& spec, const std::string& id, int level) {
  const std::string title = spec.value("title", "");
  const std::string description = spec.value("description", "");
  const std::string tag = "h" + std::to_string(level);
  return "<figure class=\"plot\" id=\"" + escaped(id) + "\">\n<" + tag + ">" + escaped(title) +
         "</" + tag + ">\n<div class=\"view\" data-spec=\"" + escaped(id) +
         "-spec\" role=\"img\" aria-label=\"" + escaped(title + ". " + description) +
         "\"></div>\n<figcaption>" + escaped(description) +
         "</figcaption>\n<script type=\"application/json\" id=\"" + escaped(id) + "-spec\">" +
         script_json(spec) + "</script>\n</figure>\n";
}

std::string names_and_values(const std::string& caption, const NamedTexts& texts) {
  if (texts.empty()) return "";
  HtmlTable table(caption, {{"name"}, {"value"}});
  for (const auto& [key, value] : texts) table.add({name(key), {value, "text"}});
  return table.html();
}

// The metrics of the runs, each once.
std::vector<MetricInfo> all_metrics(std::span<const RunRecord> runs) {
  std::vector<MetricInfo> metrics;
  for (const RunRecord& run : runs) {
    for (const MetricInfo& metric : run.run.metrics) {
      if (std::none_of(metrics.begin(), metrics.end(),
                       [&](const MetricInfo& known) { return known.name == metric.name; }))
        metrics.push_back(metric);
    }
  }
  return metrics;
}

HtmlTable runs_table(std::span<const RunRecord> runs, const std::vector<MetricInfo>& metrics) {
  std::vector<std::string> options = differing_options(runs);
  std::erase(options, "model");  // has its column in any case
  const std::vector<std::string> facts = differing_facts(runs);
  std::vector<Cell> headings = {{"run"}, {"model"}};
  for (const std::string& option : options) headings.push_back({option});
  for (const std::string& fact : facts) headings.push_back({fact});
  headings.push_back(num("seed"));
  std::vector<BestValue> best;
  for (const MetricInfo& metric : metrics) {
    headings.push_back(num("final " + metric.name));
    BestValue& of_metric = best.emplace_back(metric);
    for (const RunRecord& run : runs)
      if (const auto value = final_value(run, Mode::evaluation, metric.name)) of_metric.add(*value);
  }
  for (const char* text : {"epochs", "time", "parameters"}) headings.push_back(num(text));
  headings.push_back({"status"});
  HtmlTable table("Runs, with the last evaluation; the best of each column is marked", headings);
  for (const RunRecord& run : runs) {
    std::vector<Cell> cells = {name(run.name), {run.run.model}};
    for (const std::string& option : options) cells.push_back({option_of(run, option)});
    for (const std::string& fact : facts) cells.push_back({fact_of(run, fact)});
    cells.push_back(num(std::to_string(run.run.seed)));
    for (std::size_t i = 0; i < metrics.size(); ++i) {
      Cell cell = num("–");
      if (const auto value = final_value(run, Mode::evaluation, metrics[i].name))
        cell = {fixed(*value, 3), best[i].cell_classes(*value)};
      cells.push_back(std::move(cell));
    }
    cells.push_back(num(std::to_string(epochs_done(run))));
    cells.push_back(num(clock_text(elapsed_of(run))));
    cells.push_back(num(parameters_of(run)));
    cells.push_back({run.status()});
    table.add(std::move(cells));
  }
  return table;
}

// Runs that did not finish would pull a mean down without being a result.
std::string groups_html(std::span<const RunRecord> runs, const std::vector<MetricInfo>& metrics) {
  std::vector<Cell> headings = {{"runs that differ in the seed only"}, num("n")};
  for (const MetricInfo& metric : metrics) headings.push_back(num("final " + metric.name));
  headings.push_back(num("seconds a training epoch"));
  HtmlTable table("Mean ± standard deviation over the seeds of completed runs", headings);
  for (const RunGroup& group : groups_of(runs)) {
    std::vector<std::size_t> members;
    for (const std::size_t i : group.members)
      if (runs[i].status() == "completed") members.push_back(i);
    if (members.empty()) continue;
    std::vector<Cell> cells = {name(group.label), num(std::to_string(members.size()))};
    for (const MetricInfo& metric : metrics) {
      std::vector<double> values;
      for (const std::size_t i : members) {
        if (const auto value = final_value(runs[i], Mode::evaluation, metric.name))
          values.push_back(*value);
      }
      cells.push_back(num(values.empty() ? "–" : text_of(spread_of(values), 4)));
    }
    std::vector<double> seconds;
    for (const std::size_t i : members) seconds.push_back(seconds_per_epoch(runs[i]));
    cells.push_back(num(text_of(spread_of(seconds), 2)));
    table.add(std::move(cells));
  }
  return table.empty() ? "" : table.html();
}

}  // namespace

std::string heading(int level, const std::string& text, const std::string& id) {
  const std::string tag = "h" + std::to_string(level);
  return "<" + tag + (id.empty() ? "" : " id=\"" + escaped(id) + "\"") + ">" + escaped(text) +
         "</" + tag + ">\n";
}

std::string headline(const RunRecord& run) {
  std::string html = "<dl class=\"cards\">\n";
  for (const MetricInfo& metric : run.run.metrics) {
    const auto evaluated = final_value(run, Mode::evaluation, metric.name);
    const auto trained = final_value(run, Mode::training, metric.name);
    if (evaluated) {
      html += card(metric.name + ", evaluation", fixed(*evaluated, 3),
                   trained ? "training " + fixed(*trained, 3) : "");
    } else if (trained) {
      html += card(metric.name + ", training", fixed(*trained, 3), "");
    }
  }
  const std::int64_t done = epochs_done(run);
  html += card(
      "epochs",
      std::to_string(done) + (run.run.epochs > 0 ? " of " + std::to_string(run.run.epochs) : ""),
      with_commas(run.batches.empty() ? 0 : run.batches.back().step + 1) + " steps");
  if (const double seconds = elapsed_of(run); seconds > 0) {
    const double each = seconds_per_epoch(run);
    html += card("time", clock_text(seconds),
                 each > 0 ? fixed(each, each < 10 ? 2 : 1) + " s a training epoch" : "");
  }
  if (run.summary) {
    html += card("parameters", with_commas(run.summary->params_total),
                 fixed(static_cast<double>(run.summary->macs_total) / 1e6, 2) +
                     " M multiply–accumulates a sample");
  }
  html += card("status", run.status(), run.end ? run.end->reason : "");
  return html + "</dl>\n";
}

std::string remarks_box(const RunRecord& run) {
  std::vector<std::string> remarks = run.remarks;
  const std::size_t told = std::min(run.events.size(), kMaxEvents);
  for (const EventRow& event : std::span(run.events).first(told))
    remarks.push_back(event.what + " at step " + std::to_string(event.step) + ": " + event.reason);
  if (told < run.events.size())
    remarks.push_back(std::to_string(run.events.size() - told) + " events more are not shown.");
  if (remarks.empty()) return "";
  std::string html = "<aside class=\"note\" aria-label=\"Remarks\"><p>Remarks</p><ul>\n";
  for (const std::string& remark : remarks) html += "<li>" + escaped(remark) + "</li>\n";
  return html + "</ul></aside>\n";
}

std::string epoch_section(const RunRecord& run) {
  if (run.epochs.empty()) return "<p>No epoch was finished.</p>\n";
  std::vector<Cell> headings;
  for (const MetricInfo& metric : run.run.metrics) headings.push_back(num(heading_of(metric)));
  for (const char* text : {"epoch", "train", "lr", "seconds"})
    headings.push_back(text == std::string_view("train") ? Cell{text} : num(text));
  HtmlTable table("Metrics at the end of every epoch; the best evaluation is marked", headings);

  const std::vector<BestValue> best = best_evaluations(run);
  const std::size_t shown =
      std::min(run.epochs.size(), std::max<std::size_t>(kMaxEpochCells / (best.size() + 4), 1));
  for (const EpochRow& row : std::span(run.epochs).last(shown)) {
    std::vector<Cell> cells;
    for (std::size_t i = 0; i < best.size(); ++i) {
      const double value = value_in(row, run.run.metrics[i].name);
      cells.push_back({std::isnan(value) ? "–" : fixed(value, 3),
                       row.mode == Mode::evaluation ? best[i].cell_classes(value) : "num"});
    }
    cells.push_back(num(std::to_string(row.epoch)));
    cells.push_back({std::string(name_of(row.mode))});
    cells.push_back(num(row.mode == Mode::training ? short_number(row.lr) : ""));
    cells.push_back(num(fixed(row.duration_s, 2)));
    table.add(std::move(cells));
  }
  const std::string last = shown == run.epochs.size()
                               ? ""
                               : "<p>The last " + std::to_string(shown) + " of " +
                                     std::to_string(run.epochs.size()) + " passes.</p>\n";
  return last + table.html();
}

std::string summary_section(const RunRecord& run) {
  if (!run.summary || run.summary->layers.empty()) return "";
  const SummaryRecord& summary = *run.summary;
  const auto share = [](std::int64_t part, std::int64_t whole) {
    return whole > 0 ? fixed(100 * static_cast<double>(part) / static_cast<double>(whole), 1) + " %"
                     : std::string("–");
  };
  HtmlTable table("Layers with exact work: multiply–accumulates of one forward pass, per sample",
                  {{"layer"},
                   {"type"},
                   {"input"},
                   {"output"},
                   num("parameters"),
                   num("share"),
                   num("MACs"),
                   num("share"),
                   num("activation")});
  std::int64_t bytes = 0;
  for (const LayerRecord& layer : summary.layers) {
    bytes += layer.activation_bytes;
    table.add({name(layer.name),
               {layer.kind},
               {shape_text(layer.input)},
               {shape_text(layer.output)},
               num(with_commas(layer.params)),
               num(share(layer.params, summary.params_total)),
               num(with_commas(layer.macs)),
               num(share(layer.macs, summary.macs_total)),
               num(bytes_text(static_cast<double>(layer.activation_bytes)))});
  }
  table.total({name("total"),
               {""},
               {""},
               {""},
               num(with_commas(summary.params_total)),
               {""},
               num(with_commas(summary.macs_total)),
               {""},
               num(bytes_text(static_cast<double>(bytes)))});
  return table.html();
}

std::string settings_section(const RunRecord& run) {
  NamedTexts versions;
  if (!run.fatwood_version.empty()) versions.emplace_back("fatwood", run.fatwood_version);
  if (!run.libtorch_version.empty()) versions.emplace_back("LibTorch", run.libtorch_version);
  if (!run.started.empty()) versions.emplace_back("started", run.started);
  versions.insert(versions.end(), run.machine.begin(), run.machine.end());
  return names_and_values("Options", run.options) + names_and_values("Data", run.data) +
         names_and_values("Versions and machine", versions);
}

std::string comparison_section(std::span<const RunRecord> runs) {
  const std::vector<MetricInfo> metrics = all_metrics(runs);
  return runs_table(runs, metrics).html() + groups_html(runs, metrics);
}

std::string plot_section(std::span<const RunRecord> runs, const std::string& prefix, int level,
                         const std::vector<std::string_view>& names, bool pair) {
  std::string figures;
  for (const std::string_view wanted : names) {
    for (const PlotKind& kind : plot_kinds()) {
      if (kind.name != wanted) continue;
      const bool has_data = std::any_of(runs.begin(), runs.end(), kind.has_data);
      if (has_data) figures += figure(kind.make(runs), prefix + std::string(kind.name), level);
    }
  }
  if (figures.empty()) return "";
  return std::string("<div class=\"plots") + (pair ? " pair" : "") + "\">\n" + figures + "</div>\n";
}

}  // namespace fatwood
