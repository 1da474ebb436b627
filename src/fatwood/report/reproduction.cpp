#include <cmath>
#include <optional>

#include <nlohmann/json.hpp>

#include <fatwood/core/text.h>
#include <fatwood/report/reproduction.h>

namespace fatwood {
namespace {

// Accuracies are quoted in three decimals: a difference of exactly the tolerance matches.
constexpr double kRounding = 1e-9;

std::optional<double> value_of(const RunRecord& run, const PageEpoch& row,
                               std::string_view metric) {
  for (const EpochRow& epoch : run.epochs) {
    if (epoch.epoch != row.epoch || epoch.mode != row.mode) continue;
    for (const auto& [name, value] : epoch.metrics)
      if (name == metric) return value;
  }
  return std::nullopt;
}

ReproducedFigure figure(double page, const std::vector<double>& values, double tolerance,
                        bool higher_is_better) {
  ReproducedFigure figure{.page = page, .ours = spread_of(values)};
  figure.difference = figure.ours.mean - page;
  const double gain = higher_is_better ? figure.difference : -figure.difference;
  // Not a number is no match.
  figure.verdict = gain > tolerance + kRounding     ? Verdict::better
                   : gain >= -tolerance - kRounding ? Verdict::matches
                                                    : Verdict::worse;
  return figure;
}

std::string signed_text(double value) {
  const std::string text = fixed(std::abs(value), 3);
  return (std::signbit(value) ? "−" : "+") + text;
}

std::string words_of(const ReproducedFigure& figure) {
  return std::string(name_of(figure.verdict)) +
         (figure.verdict == Verdict::matches ? "" : " by " + fixed(std::abs(figure.difference), 3));
}

nlohmann::json to_json(const ReproducedFigure& figure) {
  return {{"page", figure.page},
          {"mean", figure.ours.mean},
          {"deviation", figure.ours.deviation},
          {"difference", figure.difference},
          {"verdict", std::string(name_of(figure.verdict))}};
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  return verdict == Verdict::matches ? "matches" : verdict == Verdict::better ? "better" : "worse";
}

const ReproducedRow* ReproducedRun::final_row() const {
  return rows.size() == page.epochs.size() ? &rows.back() : nullptr;
}

std::vector<ReproducedRun> held_against_page(std::span<const RunRecord> runs) {
  std::vector<ReproducedRun> held;
  for (const PageRun& page : page_runs()) {
    ReproducedRun reproduced{.page = page, .seeds = {}, .rows = {}};
    std::vector<const RunRecord*> ours;
    for (const RunRecord& run : runs) {
      if (run.run.model != page.model || run.status() != "completed") continue;
      ours.push_back(&run);
      reproduced.seeds.push_back(run.run.seed);
    }
    if (ours.empty()) continue;
    for (const PageEpoch& row : page.epochs) {
      std::vector<double> accuracies, losses;
      for (const RunRecord* run : ours) {
        const auto accuracy = value_of(*run, row, "accuracy");
        const auto loss = value_of(*run, row, "loss");
        if (accuracy && loss) {
          accuracies.push_back(*accuracy);
          losses.push_back(*loss);
        }
      }
      if (accuracies.empty()) continue;
      reproduced.rows.push_back(
          {.page = row,
           .accuracy = figure(row.accuracy, accuracies, kAccuracyTolerance, true),
           .loss = figure(row.loss, losses, kLossTolerance, false)});
    }
    held.push_back(std::move(reproduced));
  }
  return held;
}

TextTable epoch_table(const ReproducedRun& run) {
  const auto right = [](std::string heading) { return Column{std::move(heading), Align::right}; };
  TextTable table({right("MulticlassAccuracy"),
                   right("page"),
                   right("difference"),
                   right("loss"),
                   right("page"),
                   right("difference"),
                   right("epoch"),
                   {"train"}});
  for (const ReproducedRow& row : run.rows) {
    table.add({text_of(row.accuracy.ours, 3), fixed(row.page.accuracy, 3),
               signed_text(row.accuracy.difference), text_of(row.loss.ours, 3),
               fixed(row.page.loss, 3), signed_text(row.loss.difference),
               std::to_string(row.page.epoch), std::string(name_of(row.page.mode))});
  }
  return table;
}

TextTable verdict_table(std::span<const ReproducedRun> runs) {
  TextTable table({{"network"}, {"epoch", Align::right}, {"train"}, {"accuracy"}, {"loss"}});
  for (const ReproducedRun& run : runs) {
    for (const ReproducedRow& row : run.rows) {
      table.add({std::string(run.page.title), std::to_string(row.page.epoch),
                 std::string(name_of(row.page.mode)), words_of(row.accuracy), words_of(row.loss)});
    }
  }
  return table;
}

std::string conclusion(std::span<const ReproducedRun> runs) {
  std::size_t finished = 0, reached = 0;
  std::string below;
  for (const ReproducedRun& run : runs) {
    const ReproducedRow* row = run.final_row();
    if (!row) continue;
    ++finished;
    if (row->accuracy.verdict != Verdict::worse) {
      ++reached;
    } else {
      below += (below.empty() ? "; not " : ", ") + std::string(run.page.title) + " (" +
               signed_text(row->accuracy.difference) + ")";
    }
  }
  return "final accuracy: " + std::to_string(reached) + " of " + std::to_string(finished) +
         " networks at the page's or no more than " + fixed(kAccuracyTolerance, 3) + " below it" +
         below;
}

nlohmann::json to_json(std::span<const ReproducedRun> runs) {
  nlohmann::json json = nlohmann::json::array();
  for (const ReproducedRun& run : runs) {
    nlohmann::json rows = nlohmann::json::array();
    for (const ReproducedRow& row : run.rows) {
      rows.push_back({{"epoch", row.page.epoch},
                      {"mode", std::string(name_of(row.page.mode))},
                      {"accuracy", to_json(row.accuracy)},
                      {"loss", to_json(row.loss)}});
    }
    json.push_back({{"model", std::string(run.page.model)},
                    {"title", std::string(run.page.title)},
                    {"seeds", run.seeds},
                    {"rows", std::move(rows)}});
  }
  return json;
}

}  // namespace fatwood
