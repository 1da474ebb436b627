// Rows as displays take them. A run's file may come from anywhere: its names end in terminals and
// pages, and what a page holds grows with the products of its lists.
#pragma once

#include <cstddef>

#include <fatwood/core/rows.h>

namespace fatwood {

inline constexpr std::size_t kMostShownLayers = 1024;
inline constexpr std::size_t kMostShownMetrics = 1024;
inline constexpr std::size_t kMostShownBins = 64;  ///< of a histogram; fatwood's have 40
inline constexpr std::size_t kLongestShownName = 200;
inline constexpr std::size_t kLongestShownText = 1000;

/// `row` with its texts as `one_line` makes them (core/text.h): names of kLongestShownName bytes at
/// most, reasons of kLongestShownText.
RunRow shown(RunRow row);
EpochRow shown(EpochRow row);
EventRow shown(EventRow row);
EndRow shown(EndRow row);

/// Passes rows on as `shown` makes them. Throws Error{data} for those with more layers, metrics or
/// bins than kMost… says, and for statistics that are not of the same layers.
class ShownRows : public RowSink {
 public:
  explicit ShownRows(RowSink& to) : to_(to) {}
  void begin(const RunRow& row) override;
  void batch(const BatchRow& row) override { to_.batch(row); }
  void stats(const StatsRow& row) override;
  void epoch(const EpochRow& row) override;
  void event(const EventRow& row) override { to_.event(shown(row)); }
  void end(const EndRow& row) override { to_.end(shown(row)); }

 private:
  RowSink& to_;
};

}  // namespace fatwood
