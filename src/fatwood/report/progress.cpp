#include <algorithm>
#include <chrono>
#include <utility>

#include <fatwood/core/table.h>
#include <fatwood/core/text.h>
#include <fatwood/report/number_text.h>
#include <fatwood/report/progress.h>

namespace fatwood {
namespace {

constexpr int kLongestBar = 40;
constexpr int kShortestBar = 5;

// An evaluation batch is a forward pass: about a third of a training batch.
constexpr double kTrainWork = 3;
constexpr double kEvaluationWork = 1;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string repeated(const char* text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

Tint tint_of(const std::string& status) {
  if (status == "completed") return Tint::done;
  return status == "failed" || status == "diverged" ? Tint::failure : Tint::attention;
}

}  // namespace

std::string progress_text(double fraction, std::int64_t done, std::int64_t total, double elapsed_s,
                          const std::string& comment) {
  const std::string left =
      fraction > 0 ? clock_text(elapsed_s * std::max(0.0, 1 - fraction) / fraction) : "?";
  return fixed(100 * fraction, 2) + "% [" + std::to_string(done) + "/" + std::to_string(total) +
         " " + clock_text(elapsed_s) + "<" + left + (comment.empty() ? "" : " " + comment) + "]";
}

std::string cut_to(const std::string& text, int columns) {
  std::size_t end = 0;
  int width = 0;
  while (end < text.size()) {
    std::size_t next = end + 1;
    while (next < text.size() && (static_cast<unsigned char>(text[next]) & 0xC0) == 0x80) ++next;
    if (width == columns) break;
    ++width;
    end = next;
  }
  return text.substr(0, end);
}

ProgressDisplay::ProgressDisplay(Terminal terminal, ProgressOptions options)
    : terminal_(terminal), options_(std::move(options)) {
  if (!options_.now) options_.now = steady_seconds;
}

ProgressDisplay::~ProgressDisplay() {
  if (drawn_ > 0) terminal_.write("\n");
}

void ProgressDisplay::begin(const RunRow& row) {
  const double time = now();
  active_ = true;
  tint_ = Tint::done;
  fit_start_s_ = pass_start_s_ = last_output_s_ = time;
  elapsed_s_ = elapsed_before_pass_s_ = 0;
  epochs_ = row.epochs;
  epochs_done_ = 0;
  epoch_ = 0;
  batches_ = batches_done_ = 0;
  train_batches_ = row.batches;
  eval_batches_ = row.eval_batches;
  draw(time);
}

void ProgressDisplay::begin_epoch(Mode mode, std::int64_t epoch, std::int64_t batches) {
  const double time = now();
  if (mode == mode_ && epoch == epoch_ && batches_done_ > 0) {
    // A resumed run goes on in the middle of the pass: what was trained before took its time too.
    pass_start_s_ = time - (elapsed_s_ - elapsed_before_pass_s_);
  } else {
    mode_ = mode;
    epoch_ = epoch;
    batches_done_ = 0;
    pass_start_s_ = time;
    elapsed_before_pass_s_ = elapsed_s_;
  }
  epochs_done_ = epoch;
  batches_ = batches;
  if (time - last_output_s_ >= options_.redraw_period_s) draw(time);
}

void ProgressDisplay::batch(const BatchRow& row) {
  // A reader of a file sees no begin_epoch: the first row of a pass announces it.
  if (batches_ == 0 || row.epoch != epoch_ || row.mode != mode_) {
    begin_epoch(row.mode, row.epoch, row.mode == Mode::training ? train_batches_ : eval_batches_);
  }
  batches_done_ = row.batch + 1;
  loss_ = row.loss;
  const double time = now();
  hear(row.elapsed_s, time);
  if (terminal_.traits().redraws) {
    if (time - last_output_s_ >= options_.redraw_period_s) draw(time);
  } else if (time - last_output_s_ >= options_.plain_period_s) {
    plain_line(std::string(name_of(mode_)) + " " + batch_text(time));
  }
}

// The run's own time may be more than has passed here: rows of before a resume are handed at once.
void ProgressDisplay::hear(double elapsed_s, double time) {
  elapsed_s_ = elapsed_s;
  fit_start_s_ = std::min(fit_start_s_, time - elapsed_s);
}

void ProgressDisplay::epoch(const EpochRow& row) {
  hear(row.elapsed_s, now());
  if (row.mode == Mode::evaluation || eval_batches_ == 0) epochs_done_ = row.epoch + 1;
  std::string text = std::string(name_of(row.mode)) + " [" + std::to_string(batches_done_) + "/" +
                     std::to_string(batches_) + " " + clock_text(row.duration_s) + "]";
  for (const auto& [name, value] : row.metrics) text += " " + name + " " + fixed(value, 3);
  // The batch bar of a finished training pass stands until the evaluation begins.
  if (epochs_done_ > row.epoch) batches_ = batches_done_ = 0;
  if (!terminal_.traits().redraws) plain_line(text);
}

void ProgressDisplay::event(const EventRow& row) {
  if (row.what == kRewindEvent) batches_done_ = 0;
  const std::string text = row.what + " at step " + std::to_string(row.step) + ": " + row.reason;
  above([&] { terminal_.write(tinted(text, Tint::attention, terminal_.traits().colour) + "\n"); });
}

void ProgressDisplay::end(const EndRow& row) {
  tint_ = tint_of(row.status);
  if (row.status == "completed") batches_ = 0;
  if (terminal_.traits().redraws) {
    draw(now());
    if (drawn_ > 0) terminal_.write("\n");
    drawn_ = 0;
  } else if (row.status != "completed") {
    plain_line(row.status + " at step " + std::to_string(row.step) +
               (row.reason.empty() ? "" : ": " + row.reason));
  }
  active_ = false;
}

void ProgressDisplay::show(bool visible) {
  visible_ = visible;
  if (visible) {
    draw(now());
  } else {
    erase();
  }
}

void ProgressDisplay::above(const std::function<void()>& write) {
  const bool drawn = drawn_ > 0;
  erase();
  write();
  if (drawn) draw(now());
}

std::string ProgressDisplay::bar(double fraction, int columns, Tint tint) const {
  const TerminalTraits traits = terminal_.traits();
  const int halves = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * columns * 2);
  if (!traits.unicode) {
    return tinted(std::string(static_cast<std::size_t>(halves / 2), '='), tint, traits.colour) +
           std::string(static_cast<std::size_t>(columns - halves / 2), '-');
  }
  const int full = halves / 2;
  const bool half = halves % 2 == 1;
  return tinted(repeated("━", full) + (half ? "╸" : ""), tint, traits.colour) +
         tinted(repeated("─", columns - full - (half ? 1 : 0)), Tint::faint, traits.colour);
}

double ProgressDisplay::fit_fraction() const {
  const double whole = kTrainWork * static_cast<double>(train_batches_) +
                       kEvaluationWork * static_cast<double>(eval_batches_);
  double work = static_cast<double>(epochs_done_);
  if (batches_ > 0 && whole > 0) {
    const double done = static_cast<double>(batches_done_);
    work +=
        mode_ == Mode::training
            ? kTrainWork * done / whole
            : (kTrainWork * static_cast<double>(train_batches_) + kEvaluationWork * done) / whole;
  }
  return epochs_ > 0 ? std::min(1.0, work / static_cast<double>(epochs_)) : 0;
}

double ProgressDisplay::pass_fraction() const {
  return batches_ > 0 ? static_cast<double>(batches_done_) / static_cast<double>(batches_) : 0;
}

std::string ProgressDisplay::epoch_text(double time) const {
  return progress_text(fit_fraction(), epochs_done_, epochs_, time - fit_start_s_, "");
}

std::string ProgressDisplay::batch_text(double time) const {
  return progress_text(pass_fraction(), batches_done_, batches_, time - pass_start_s_,
                       batches_done_ > 0 ? fixed(loss_, 3) : "");
}

std::vector<std::string> ProgressDisplay::lines(double time) const {
  const WindowSize window = terminal_.size();
  // The last column stays free: a terminal that wraps there would spoil the drawing in place.
  const int columns = std::max(1, window.columns - 1);
  std::vector<std::string> lines;
  if (options_.panel && window.rows > 4) lines = options_.panel({columns, window.rows - 4});

  const bool pass = batches_ > 0;
  const std::string texts[] = {epoch_text(time),
                               pass ? batch_text(time) + " " + std::string(name_of(mode_)) : ""};
  const double fractions[] = {fit_fraction(), pass_fraction()};
  const int text_width =
      static_cast<int>(std::max(display_width(texts[0]), display_width(texts[1])));
  const int bar_columns = std::min(kLongestBar, columns - text_width - 1);
  for (int i = 0; i < (pass ? 2 : 1); ++i) {
    const Tint tint = i == 1 && mode_ == Mode::evaluation ? Tint::evaluation : tint_;
    lines.push_back(bar_columns >= kShortestBar
                        ? bar(fractions[i], bar_columns, tint) + " " + texts[i]
                        : cut_to(texts[i], columns));
  }
  return lines;
}

void ProgressDisplay::draw(double time) {
  last_output_s_ = time;
  if (!visible_ || !active_ || !terminal_.traits().redraws) return;
  // One write for the whole drawing, and nothing erased before its replacement: no flicker.
  std::string text = "\r";
  if (drawn_ > 1) text += "\x1b[" + std::to_string(drawn_ - 1) + "A";
  const std::vector<std::string> drawing = lines(time);
  for (std::size_t i = 0; i < drawing.size(); ++i) {
    text += drawing[i] + "\x1b[K";
    if (i + 1 < drawing.size()) text += '\n';
  }
  text += "\x1b[J";
  terminal_.write(text);
  drawn_ = drawing.size();
}

void ProgressDisplay::erase() {
  if (drawn_ == 0) return;
  std::string text = "\r";
  if (drawn_ > 1) text += "\x1b[" + std::to_string(drawn_ - 1) + "A";
  terminal_.write(text + "\x1b[J");
  drawn_ = 0;
}

void ProgressDisplay::plain_line(const std::string& text) {
  last_output_s_ = now();
  if (!visible_) return;
  terminal_.write("epoch " + std::to_string(epoch_ + 1) + "/" + std::to_string(epochs_) + " " +
                  text + "\n");
}

}  // namespace fatwood
