#include <algorithm>
#include <cmath>
#include <limits>

#include <fatwood/core/table.h>
#include <fatwood/core/text.h>
#include <fatwood/report/dot_canvas.h>
#include <fatwood/report/live_plot.h>
#include <fatwood/report/number_text.h>

namespace fatwood {
namespace {

constexpr std::size_t kMaxBuckets = 4096;
constexpr int kMostRows = 14;
constexpr int kFewestRows = 4;
constexpr int kFewestColumns = 24;

std::string loss_text(double loss) {
  return std::abs(loss) < 1e5 || !std::isfinite(loss) ? fixed(loss, 3) : short_number(loss);
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

void LivePlot::event(const EventRow& row) {
  if (row.what != kRewindEvent) return;
  buckets_.resize(std::min(buckets_.size(), static_cast<std::size_t>(std::max<std::int64_t>(
                                                row.step / steps_a_bucket_, 0))));
  std::erase_if(evaluations_, [&row](const auto& point) { return point.first > row.step; });
}

std::vector<std::string> LivePlot::lines(WindowSize room) const {
  const int rows = std::min(kMostRows, room.rows - 2);
  const int columns = room.columns - kAxisColumns;
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
    const double share = step / static_cast<double>(std::max<std::int64_t>(total_steps_, 1));
    return static_cast<int>(std::min(share, 1.0) * (canvas.width() - 1));
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
    canvas.mark(x_of(static_cast<double>(step)), y_of(loss));

  std::vector<std::string> lines;
  std::string legend(kAxisColumns, ' ');
  legend += tinted("training loss " + loss_text(last_loss_), Tint::train, traits_.colour);
  const std::string evaluation = evaluations_.empty()
                                     ? ""
                                     : std::string(traits_.unicode ? "  ● " : "  o ") +
                                           "evaluation " + loss_text(evaluations_.back().second);
  // Lines must fit; the legend's second half is what can go.
  if (kAxisColumns + 24 + static_cast<int>(display_width(evaluation)) <= room.columns)
    legend += tinted(evaluation, Tint::evaluation, traits_.colour);
  lines.push_back(legend);
  for (std::string& line : with_vertical_axis(canvas, high, low, traits_))
    lines.push_back(std::move(line));
  lines.push_back(horizontal_axis("0", "step", std::to_string(total_steps_), columns, traits_));
  return lines;
}

}  // namespace fatwood
