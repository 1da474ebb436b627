#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>

#include <fatwood/core/table.h>
#include <fatwood/core/text.h>
#include <fatwood/report/live_plot.h>
#include <fatwood/report/number_text.h>

namespace fatwood {
namespace {

constexpr std::size_t kMaxBuckets = 4096;
constexpr int kMostRows = 14;
constexpr int kFewestRows = 4;
constexpr int kFewestColumns = 24;
constexpr int kLabelColumns = 7;

// A grid of characters of 2 × 4 dots each; dot (0, 0) is top left.
class DotCanvas {
 public:
  DotCanvas(int columns, int rows)
      : columns_(columns), rows_(rows), cells_(static_cast<std::size_t>(columns * rows)) {}

  int width() const { return 2 * columns_; }
  int height() const { return 4 * rows_; }

  void dot(int x, int y) {
    if (x < 0 || y < 0 || x >= width() || y >= height()) return;
    // Braille numbers its dots down the left column, down the right one, then the bottom row.
    constexpr std::array<std::array<int, 2>, 4> kBits = {{{0, 3}, {1, 4}, {2, 5}, {6, 7}}};
    cell(x / 2, y / 4).dots |=
        1 << kBits[static_cast<std::size_t>(y % 4)][static_cast<std::size_t>(x % 2)];
  }

  void line(int x0, int y0, int x1, int y1) {
    const int steps = std::max({std::abs(x1 - x0), std::abs(y1 - y0), 1});
    for (int i = 0; i <= steps; ++i) dot(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps);
  }

  void mark(int x, int y) {
    if (x >= 0 && y >= 0 && x < width() && y < height()) cell(x / 2, y / 4).marked = true;
  }

  std::string row_text(int row, TerminalTraits traits) const {
    std::string text;
    int end = columns_;  // without trailing blanks
    while (end > 0 && tint_at(end - 1, row) == Tint::none) --end;
    for (int column = 0; column < end;) {
      // Neighbours of one tint share its escape sequences.
      const Tint tint = tint_at(column, row);
      std::string run;
      const auto joins = [&](int at) {
        const Tint next = tint_at(at, row);
        return next == tint || (tint != Tint::none && next == Tint::none);
      };
      for (; column < end && joins(column); ++column) run += character(column, row, traits.unicode);
      text += tinted(run, tint, traits.colour);
    }
    return text;
  }

 private:
  struct Cell {
    int dots = 0;
    bool marked = false;
  };

  Cell& cell(int column, int row) {
    return cells_[static_cast<std::size_t>(row * columns_ + column)];
  }
  const Cell& cell(int column, int row) const {
    return cells_[static_cast<std::size_t>(row * columns_ + column)];
  }
  Tint tint_at(int column, int row) const {
    const Cell& at = cell(column, row);
    return at.marked ? Tint::evaluation : at.dots != 0 ? Tint::train : Tint::none;
  }
  std::string character(int column, int row, bool unicode) const {
    const Cell& at = cell(column, row);
    if (at.marked) return unicode ? "●" : "o";
    if (at.dots == 0) return " ";
    if (!unicode) return ".";
    // U+2800 + dots, in UTF-8.
    return {static_cast<char>(0xE2), static_cast<char>(0xA0 | at.dots >> 6),
            static_cast<char>(0x80 | (at.dots & 0x3F))};
  }

  int columns_;
  int rows_;
  std::vector<Cell> cells_;
};

std::string label(double value) {
  std::string text = short_number(value);
  if (text.size() > kLabelColumns - 1) text = text.substr(0, kLabelColumns - 1);
  return std::string(kLabelColumns - 1 - text.size(), ' ') + text + " ";
}

}  // namespace

void LivePlot::begin(const RunRow& row) {
  *this = LivePlot(traits_);
  total_steps_ = row.epochs * row.batches;
}

void LivePlot::batch(const BatchRow& row) {
  if (row.mode != Mode::training || row.step < 0) return;
  ++batches_;
  last_loss_ = row.loss;
  total_steps_ = std::max(total_steps_, row.step + 1);
  while (row.step / steps_a_bucket_ >= static_cast<std::int64_t>(kMaxBuckets)) {
    const std::size_t half = (buckets_.size() + 1) / 2;
    for (std::size_t i = 0; i < half; ++i) {
      Bucket merged = buckets_[2 * i];
      if (2 * i + 1 < buckets_.size() && buckets_[2 * i + 1].used) {
        const Bucket& other = buckets_[2 * i + 1];
        merged = merged.used ? Bucket{std::min(merged.low, other.low),
                                      std::max(merged.high, other.high), true}
                             : other;
      }
      buckets_[i] = merged;
    }
    buckets_.resize(half);
    steps_a_bucket_ *= 2;
  }
  if (!std::isfinite(row.loss)) return;
  const auto index = static_cast<std::size_t>(row.step / steps_a_bucket_);
  if (index >= buckets_.size()) buckets_.resize(index + 1);
  Bucket& bucket = buckets_[index];
  bucket = bucket.used
               ? Bucket{std::min(bucket.low, row.loss), std::max(bucket.high, row.loss), true}
               : Bucket{row.loss, row.loss, true};
}

void LivePlot::epoch(const EpochRow& row) {
  if (row.mode != Mode::evaluation) return;
  for (const auto& [name, value] : row.metrics)
    if (name == "loss" && std::isfinite(value)) evaluations_.emplace_back(row.step, value);
}

std::vector<std::string> LivePlot::lines(WindowSize room) const {
  const int rows = std::min(kMostRows, room.rows - 2);
  const int columns = room.columns - kLabelColumns;
  if (batches_ < 2 || rows < kFewestRows || columns < kFewestColumns) return {};

  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const Bucket& bucket : buckets_) {
    if (!bucket.used) continue;
    low = std::min(low, bucket.low);
    high = std::max(high, bucket.high);
  }
  for (const auto& [step, loss] : evaluations_) {
    low = std::min(low, loss);
    high = std::max(high, loss);
  }
  if (!(low <= high)) return {};
  // Divergence by orders of magnitude would flatten all else.
  const bool logarithmic = low > 0 && high > 200 * low;
  const auto scaled = [&](double loss) { return logarithmic ? std::log(loss) : loss; };
  const double span = std::max(scaled(high) - scaled(low), 1e-12);

  DotCanvas canvas(columns, rows);
  const auto x_of = [&](double step) {
    return static_cast<int>(step / static_cast<double>(std::max<std::int64_t>(total_steps_, 1)) *
                            (canvas.width() - 1));
  };
  const auto y_of = [&](double loss) {
    return static_cast<int>(
        std::lround((scaled(high) - scaled(loss)) / span * (canvas.height() - 1)));
  };
  int last_x = -1;
  int last_y = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    const Bucket& bucket = buckets_[i];
    if (!bucket.used) continue;
    const int x = x_of((static_cast<double>(i) + 0.5) * static_cast<double>(steps_a_bucket_));
    const int top = y_of(bucket.high);
    const int bottom = y_of(bucket.low);
    canvas.line(x, top, x, bottom);
    const int middle = (top + bottom) / 2;
    if (last_x >= 0) canvas.line(last_x, last_y, x, middle);
    last_x = x;
    last_y = middle;
  }
  for (const auto& [step, loss] : evaluations_)
    canvas.mark(std::min(x_of(static_cast<double>(step)), canvas.width() - 1), y_of(loss));

  std::vector<std::string> lines;
  std::string legend(kLabelColumns, ' ');
  legend += tinted("training loss " + fixed(last_loss_, 3), Tint::train, traits_.colour);
  const std::string evaluation = evaluations_.empty()
                                     ? ""
                                     : std::string(traits_.unicode ? "  ● " : "  o ") +
                                           "evaluation " + fixed(evaluations_.back().second, 3);
  // Lines must fit; the legend's second half is what can go.
  if (kLabelColumns + 24 + static_cast<int>(display_width(evaluation)) <= room.columns)
    legend += tinted(evaluation, Tint::evaluation, traits_.colour);
  lines.push_back(legend);
  for (int row = 0; row < rows; ++row) {
    const std::string left = row == 0          ? label(high)
                             : row == rows - 1 ? label(low)
                                               : std::string(kLabelColumns, ' ');
    lines.push_back(left + canvas.row_text(row, traits_));
    if (lines.back().find_last_not_of(' ') == std::string::npos) lines.back().clear();
  }
  const std::string last = std::to_string(total_steps_);
  const std::string word = "step";
  std::string axis = std::string(kLabelColumns, ' ') + "0";
  const auto width = static_cast<std::size_t>(columns + kLabelColumns);
  const std::size_t middle = (width - word.size()) / 2;
  axis += std::string(middle - axis.size(), ' ') + word;
  axis += std::string(width - axis.size() - last.size(), ' ') + last;
  lines.push_back(tinted(axis, Tint::faint, traits_.colour));
  return lines;
}

}  // namespace fatwood
