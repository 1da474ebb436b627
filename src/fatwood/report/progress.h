// The bars of a running fit, in fastprogress's form: `79.66% [94/118 00:06<00:01 0.478]` is
// percent, done/total, elapsed<left, loss. A sink of rows: fed by training, or by a reader that
// follows a run. On a terminal an epoch bar and a batch bar are drawn again in place, at most ten
// times a second; elsewhere each pass leaves one plain line.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <fatwood/core/rows.h>
#include <fatwood/report/terminal.h>

namespace fatwood {

struct ProgressOptions {
  double redraw_period_s = 0.1;  ///< on a terminal
  double plain_period_s = 30;    ///< elsewhere, a line this often inside a long pass
  /// Seconds since any fixed moment; the steady clock when empty. A reader that follows a run gives
  /// the run's own time.
  std::function<double()> now = {};
  /// Lines drawn above the bars (the live plot), given the room there is. Each must fit the width.
  std::function<std::vector<std::string>(WindowSize room)> panel = {};
};

/// A batch that draws nothing costs one look at the clock. Not thread safe: rows come in order.
class ProgressDisplay : public RowSink {
 public:
  explicit ProgressDisplay(Terminal terminal, ProgressOptions options = {});
  /// Leaves the bars as they stand and the cursor below them.
  ~ProgressDisplay() override;
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  void begin(const RunRow& row) override;
  void begin_epoch(Mode mode, std::int64_t epoch, std::int64_t batches) override;
  void batch(const BatchRow& row) override;
  void epoch(const EpochRow& row) override;
  void event(const EventRow& row) override;
  void end(const EndRow& row) override;

  /// Draws nothing while false, for rows that were written long ago; draws at once when true again.
  void show(bool visible);

  /// Runs `write`, which may print whole lines to this or another stream, with the bars out of its
  /// way: on a terminal they are taken off before and drawn again below.
  void above(const std::function<void()>& write);

 private:
  double now() const { return options_.now(); }
  void hear(double elapsed_s, double time);
  std::string bar(double fraction, int columns, Tint tint) const;
  double fit_fraction() const;
  double pass_fraction() const;
  std::string epoch_text(double time) const;
  std::string batch_text(double time) const;
  std::vector<std::string> lines(double time) const;
  void draw(double time);
  void erase();
  void plain_line(const std::string& text);

  Terminal terminal_;
  ProgressOptions options_;

  bool visible_ = true;
  bool active_ = false;       // between begin and end
  std::size_t drawn_ = 0;     // lines on the screen that the next drawing replaces
  double last_output_s_ = 0;  // of a drawing or a plain line
  double fit_start_s_ = 0;
  double pass_start_s_ = 0;
  double elapsed_s_ = 0;              // as the newest row says
  double elapsed_before_pass_s_ = 0;  // as the newest row before the running pass said
  std::int64_t epochs_ = 0;
  std::int64_t epochs_done_ = 0;
  Mode mode_ = Mode::training;
  std::int64_t epoch_ = 0;    // running, from 0
  std::int64_t batches_ = 0;  // of the running pass; 0 when none runs
  std::int64_t batches_done_ = 0;
  std::int64_t train_batches_ = 0;
  std::int64_t eval_batches_ = 0;
  double loss_ = 0;
  Tint tint_ = Tint::done;
};

/// `79.66% [94/118 00:06<00:01 0.478]`; `left` is "?" while nothing is done, `comment` may be "".
std::string progress_text(double fraction, std::int64_t done, std::int64_t total, double elapsed_s,
                          const std::string& comment);

/// `text` cut to `columns` code points. Text with escape sequences must not be given.
std::string cut_to(const std::string& text, int columns);

}  // namespace fatwood
