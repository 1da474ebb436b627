// What the plots share: the frame of a Vega-Lite document, its theme, and curves as data.
// Private to report.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <fatwood/report/curve.h>
#include <fatwood/report/plots.h>

namespace fatwood {

/// Points that a line keeps; two per pixel of a wide plot.
inline constexpr std::size_t kMaxPoints = 600;

/// Schema, title, description (read by screen readers) and theme.
Spec document(std::string_view title, std::string_view description);

/// Four digits; null for what is not finite, which breaks a line.
Spec number(double value);

/// A row of data {"x": […], "y": […]} plus the fields of `labels`, thinned; for `unpacked()`.
Spec packed(const Curve& curve, Spec labels);

/// The transform that turns packed rows into points.
Spec unpacked();

/// The x channel of everything that goes by training steps.
Spec steps_axis();

/// Colour of nominal `field` in this order, with a legend that picks series by click or key.
Spec series_colour(std::string_view field, const std::vector<std::string>& order,
                   std::string_view title);

/// A colour for an ordered set: the theme's when it has enough, else a scale from dark to light.
Spec ordered_colour(std::string_view field, const std::vector<std::string>& order,
                    std::string_view title);

/// The parameter `name` that a click on the legend's `field` sets.
Spec legend_pick(std::string_view name, std::string_view field);

/// Opaque where picked (or nothing is), `faint` elsewhere.
Spec picked_opacity(std::string_view name, double opacity, double faint);

/// Names of runs that differ, even where the folders' names do not.
std::vector<std::string> run_names(std::span<const RunRecord> runs);

/// "layer 0", "layer 1", …
std::vector<std::string> layer_names(std::size_t count);

}  // namespace fatwood
