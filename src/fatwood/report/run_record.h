// A run's folder read back: rows, arguments, summary, predictions. Every plot, table and report is
// made from a RunRecord, so it can be made while the run goes on, after a kill, or years later.
// The reader is tolerant: what is missing or damaged becomes a remark that reports show; only a
// folder that cannot be understood at all is an error. Format: docs/run-folder.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fatwood/core/rows.h>

namespace fatwood {

/// Name and value as text, in the order of the file.
using NamedTexts = std::vector<std::pair<std::string, std::string>>;

/// One layer of `summary.json`. Work and bytes are for one sample and one batch respectively.
struct LayerRecord {
  std::string name;
  std::string kind;
  std::vector<std::int64_t> input;
  std::vector<std::int64_t> output;
  std::int64_t params = 0;
  std::int64_t macs = 0;              ///< multiply–accumulates of a forward pass, per sample
  std::int64_t activation_bytes = 0;  ///< of the output, for the batch of `input`
};

struct SummaryRecord {
  std::vector<LayerRecord> layers;
  std::int64_t params_total = 0;
  std::int64_t macs_total = 0;
};

/// One sample of `predictions.json`.
struct PredictedSample {
  std::int64_t index = 0;  ///< in the evaluation set
  std::int64_t label = 0;
  std::int64_t predicted = 0;
  double probability = 0;  ///< of the predicted class; NaN where the file has no number
  double loss = 0;         ///< likewise
  int channels = 0, height = 0, width = 0;
  std::vector<std::uint8_t> pixels;  ///< channels × height × width; empty when damaged
};

struct PredictionsRecord {
  std::vector<std::string> classes;
  std::vector<std::vector<std::int64_t>> confusion;  ///< [true class][predicted class], square
  std::vector<PredictedSample> worst;                ///< largest loss first
  std::vector<PredictedSample> best;                 ///< smallest loss first
};

/// `lr_find.json`: {"lr": […], "loss": […], "suggestions": {"steepest": 0.01, "valley": 0.004}}.
struct LrFindRecord {
  std::vector<double> lr;
  std::vector<double> loss;  ///< as many as lr
  std::vector<std::pair<std::string, double>> suggestions;
};

struct RunRecord {
  std::filesystem::path folder;
  std::string name;  ///< the folder's last component

  // args.json
  std::string fatwood_version;
  std::string libtorch_version;
  std::string started;
  NamedTexts machine;
  NamedTexts options;
  NamedTexts data;  ///< without the classes
  std::vector<std::string> classes;

  // rows.jsonl; steps never go back: rows that a rewind or a resume ran again are left out
  RunRow run;
  std::vector<BatchRow> batches;
  std::vector<StatsRow> stats;
  std::vector<EpochRow> epochs;
  std::vector<EventRow> events;
  std::optional<EndRow> end;  ///< absent while the run goes on, or when it was killed

  // artefacts, where the folder has them
  std::optional<SummaryRecord> summary;
  std::optional<PredictionsRecord> predictions;
  std::optional<LrFindRecord> lr_find;

  /// What the reader passed over, in words for the reader of a report.
  std::vector<std::string> remarks;

  /// "completed", "interrupted", …; "unfinished" without an end record.
  std::string status() const { return end ? end->status : "unfinished"; }
};

/// Throws Error{data} when `folder` is missing, is not a run, or is of another format than
/// kRunFormat; Error{io} when a file cannot be read. Reads at most 512 MiB of rows and 64 MiB of
/// each other file.
RunRecord read_run(const std::filesystem::path& folder);

/// Adds the rows in `text`, the content of a `rows.jsonl`, to `record`. Throws Error{data} when not
/// one line is a row.
void gather_rows(const std::string& text, RunRecord& record);

/// What a label is called: "Sandal", or "class 5" where the names do not reach it.
std::string class_name(std::span<const std::string> classes, std::int64_t label);

/// `lr_find.json` or any file of its form. Throws as `read_run`.
LrFindRecord read_lr_find(const std::filesystem::path& file);

}  // namespace fatwood
