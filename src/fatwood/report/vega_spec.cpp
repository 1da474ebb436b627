#include <algorithm>
#include <cmath>
#include <map>

#include <fatwood/report/vega_spec.h>

namespace fatwood {
namespace {

// The hues of matplotlib's "ggplot", darker where they would vanish on the grey panel.
const std::vector<std::string> kPalette = {"#E24A33", "#348ABD", "#7F6FC7", "#555555",
                                           "#C98A00", "#5E8C1B", "#D0607A"};

constexpr double kMostExact = 0x1p53;  // of whole numbers: farther ones are no longer all there

Spec theme() {
  return {
      {"background", "#FFFFFF"},
      {"font", "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"},
      {"view", {{"fill", "#E5E5E5"}, {"stroke", nullptr}, {"continuousHeight", 260}}},
      {"axis",
       {{"domain", false},
        {"grid", true},
        {"gridColor", "#FFFFFF"},
        {"gridOpacity", 1},
        {"labelColor", "#555555"},
        {"labelFontSize", 11},
        {"labelPadding", 4},
        {"tickColor", "#7F7F7F"},
        {"tickSize", 5},
        {"titleColor", "#333333"},
        {"titleFontSize", 13},
        {"titleFontWeight", "normal"}}},
      {"axisBand", {{"grid", false}}},
      {"legend",
       {{"labelColor", "#333333"},
        {"labelFontSize", 12},
        {"labelLimit", 240},
        {"orient", "bottom"},
        {"columns", 3},
        {"symbolStrokeWidth", 3},
        {"symbolType", "stroke"},
        {"titleColor", "#333333"},
        {"titleFontWeight", "normal"}}},
      {"header",
       {{"labelColor", "#333333"}, {"labelFontSize", 13}, {"title", nullptr}, {"labelPadding", 4}}},
      {"title",
       {{"anchor", "start"}, {"color", "#333333"}, {"fontSize", 15}, {"fontWeight", "normal"}}},
      {"text", {{"color", "#333333"}}},
      {"line", {{"strokeWidth", 1.8}, {"strokeJoin", "round"}}},
      {"range", {{"category", kPalette}}}};
}

}  // namespace

Spec document(std::string_view title, std::string_view description) {
  return {{"$schema", "https://vega.github.io/schema/vega-lite/v6.json"},
          {"title", title},
          {"description", description},
          {"config", theme()}};
}

Spec number(double value) {
  if (!std::isfinite(value)) return nullptr;
  const double short_value = rounded(value);
  // 118 rather than 118.0
  if (std::abs(short_value) < 1e15 && short_value == std::floor(short_value))
    return static_cast<std::int64_t>(short_value);
  return short_value;
}

Spec packed(const Curve& curve, Spec labels) {
  const Curve points = thinned(curve, kMaxPoints);
  Spec xs = Spec::array();
  Spec ys = Spec::array();
  // Steps are counters: they keep all their digits.
  for (const double x : points.x)
    xs.push_back(x == std::floor(x) && std::abs(x) <= kMostExact
                     ? Spec(static_cast<std::int64_t>(x))
                     : number(x));
  for (const double y : points.y) ys.push_back(number(y));
  labels["x"] = std::move(xs);
  labels["y"] = std::move(ys);
  return labels;
}

Spec unpacked() {
  return {{{"flatten", {"x", "y"}}}};
}

Spec series_colour(std::string_view field, const std::vector<std::string>& order,
                   std::string_view title) {
  Spec scale{{"domain", order}};
  if (order.size() > kPalette.size()) scale["scheme"] = "tableau20";
  return {{"field", field},
          {"type", "nominal"},
          {"scale", scale},
          {"title", title.empty() ? Spec(nullptr) : Spec(title)}};
}

Spec ordered_colour(std::string_view field, const std::vector<std::string>& order,
                    std::string_view title) {
  Spec colour = series_colour(field, order, title);
  if (order.size() > kPalette.size()) {
    colour["type"] = "ordinal";
    colour["scale"]["scheme"] = {{"name", "turbo"}, {"extent", {0.05, 0.95}}};
  }
  return colour;
}

Spec legend_pick(std::string_view name, std::string_view field) {
  return {{"name", name}, {"select", {{"type", "point"}, {"fields", {field}}}}, {"bind", "legend"}};
}

Spec picked_opacity(std::string_view name, double opacity, double faint) {
  return {{"condition", {{"param", name}, {"value", opacity}}}, {"value", faint}};
}

Spec steps_axis() {
  return {{"field", "x"},
          {"type", "quantitative"},
          {"title", "step"},
          {"axis", {{"tickCount", 8}}},
          {"scale", {{"nice", false}}}};
}

std::vector<std::string> run_names(std::span<const RunRecord> runs) {
  std::vector<std::string> names;
  std::map<std::string, int> uses;
  for (const RunRecord& run : runs) ++uses[run.name];
  std::map<std::string, int> seen;
  for (const RunRecord& run : runs) {
    const int nth = ++seen[run.name];
    names.push_back(uses[run.name] > 1 ? run.name + " #" + std::to_string(nth) : run.name);
  }
  return names;
}

std::vector<std::string> layer_names(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.push_back("layer " + std::to_string(i));
  return names;
}

}  // namespace fatwood
