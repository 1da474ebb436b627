#include <algorithm>
#include <cmath>
#include <limits>

#include <fatwood/core/table.h>
#include <fatwood/report/dot_canvas.h>
#include <fatwood/report/lr_find_lines.h>
#include <fatwood/report/number_text.h>

namespace fatwood {
namespace {

constexpr int kMostSweepRows = 14;
constexpr int kFewestSweepRows = 4;
constexpr int kFewestSweepColumns = 32;

struct Point {
  double lr, loss;
};

}  // namespace

std::vector<std::string> lr_find_lines(const LrFindRecord& found, TerminalTraits traits,
                                       WindowSize room) {
  std::vector<Point> points;
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (std::size_t i = 0; i < std::min(found.lr.size(), found.loss.size()); ++i) {
    if (!std::isfinite(found.loss[i]) || !(found.lr[i] > 0) || !std::isfinite(found.lr[i]))
      continue;
    points.push_back({found.lr[i], found.loss[i]});
    low = std::min(low, found.loss[i]);
    high = std::max(high, found.loss[i]);
  }
  const int rows = std::min(kMostSweepRows, room.rows - 3);
  const int columns = room.columns - kAxisColumns;
  if (points.size() < 2 || rows < kFewestSweepRows || columns < kFewestSweepColumns) return {};

  DotCanvas canvas(columns, rows);
  const auto [first, last] = std::minmax_element(
      points.begin(), points.end(), [](const Point& a, const Point& b) { return a.lr < b.lr; });
  const double left = std::log(first->lr);
  const double width = std::max(std::log(last->lr) - left, 1e-12);
  const auto x_of = [&](double lr) {
    return static_cast<int>(std::lround((std::log(lr) - left) / width * (canvas.width() - 1)));
  };
  const auto y_of = [&](double loss) {
    return static_cast<int>(
        std::lround((high - loss) / std::max(high - low, 1e-12) * (canvas.height() - 1)));
  };
  for (std::size_t i = 0; i + 1 < points.size(); ++i) {
    canvas.line(x_of(points[i].lr), y_of(points[i].loss), x_of(points[i + 1].lr),
                y_of(points[i + 1].loss));
  }
  std::string marks;
  for (const auto& [name, lr] : found.suggestions) {
    const auto at = std::find_if(points.begin(), points.end(),
                                 [lr = lr](const Point& point) { return point.lr == lr; });
    if (at == points.end()) continue;
    canvas.mark(x_of(lr), y_of(at->loss));
    marks +=
        (marks.empty() ? (traits.unicode ? "  ● " : "  o ") : ", ") + name + " " + short_number(lr);
  }
  std::string legend = std::string(kAxisColumns, ' ') + tinted("loss", Tint::train, traits.colour);
  if (kAxisColumns + 4 + static_cast<int>(display_width(marks)) <= room.columns)
    legend += tinted(marks, Tint::evaluation, traits.colour);
  std::vector<std::string> lines{legend};
  for (std::string& line : with_vertical_axis(canvas, high, low, traits))
    lines.push_back(std::move(line));
  lines.push_back(horizontal_axis(short_number(first->lr), "learning rate", short_number(last->lr),
                                  columns, traits));
  return lines;
}

}  // namespace fatwood
