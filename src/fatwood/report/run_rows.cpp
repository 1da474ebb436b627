// The rows of a run's file in a RunRecord.
#include <string_view>

#include <fatwood/core/error.h>
#include <fatwood/core/rows_io.h>
#include <fatwood/core/shown_rows.h>
#include <fatwood/report/run_record.h>

namespace fatwood {
namespace {

constexpr std::size_t kMaxLineRemarks = 5;

/// Gathers rows; those of a step come later again where it was trained again.
class Gatherer : public RowSink {
 public:
  explicit Gatherer(RunRecord& record) : record_(record) {}

  void begin(const RunRow& row) override {
    ++rows;
    record_.run = row;
    has_run = true;
  }
  void batch(const BatchRow& row) override {
    add();
    drop_from(record_.batches, row.step);
    record_.batches.push_back(row);
  }
  void stats(const StatsRow& row) override {
    add();
    // Training and evaluation statistics of one step stand side by side.
    auto& stats = record_.stats;
    while (!stats.empty() && (stats.back().step > row.step ||
                              (stats.back().step == row.step && stats.back().mode == row.mode)))
      stats.pop_back();
    stats.push_back(row);
  }
  void epoch(const EpochRow& row) override {
    add();
    auto& epochs = record_.epochs;
    while (!epochs.empty() &&
           (epochs.back().epoch > row.epoch ||
            (epochs.back().epoch == row.epoch && epochs.back().mode == row.mode)))
      epochs.pop_back();
    epochs.push_back(row);
  }
  void event(const EventRow& row) override {
    add();
    record_.events.push_back(row);
  }
  void end(const EndRow& row) override {
    add();
    record_.end = row;
  }

  std::size_t rows = 0;
  std::size_t dropped = 0;
  bool has_run = false;

 private:
  void add() {
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

}  // namespace

void gather_rows(const std::string& text, RunRecord& record) {
  Gatherer gatherer(record);
  ShownRows shown_rows(gatherer);
  std::size_t line_number = 0;
  std::size_t damaged = 0;
  std::string first_problem;
  for (std::size_t at = 0; at < text.size();) {
    ++line_number;
    const std::size_t newline = text.find('\n', at);
    const bool cut_off = newline == std::string::npos;
    const std::string_view line(text.data() + at, (cut_off ? text.size() : newline) - at);
    at = cut_off ? text.size() : newline + 1;
    if (line.find_first_not_of(" \r\t") == std::string::npos) continue;
    try {
      if (line.size() > kMaxLineBytes) throw Error(ErrorKind::data, "read_row", "line too long");
      read_json_line(std::string(line), shown_rows);
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

}  // namespace fatwood
