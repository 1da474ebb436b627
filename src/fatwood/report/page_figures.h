// The figures of the page that fatwood implements ("ResNets"): its tables as it prints them, to be
// held against runs of our own.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include <fatwood/core/rows.h>

namespace fatwood {

/// One row of an epoch table.
struct PageEpoch {
  std::int64_t epoch = 0;
  Mode mode = Mode::training;
  double accuracy = 0;
  double loss = 0;
};

/// One training run of the page, three epochs at batch 512.
struct PageRun {
  std::string_view model;  ///< its name in the model table
  std::string_view title;  ///< as the page calls it
  std::int64_t params = 0;
  std::array<PageEpoch, 6> epochs;
};

/// In the page's order.
std::span<const PageRun> page_runs();

/// The run that the page interrupts: CNN.kaiming(nfs=(8, 16, 32, 64)), after this many batches.
inline constexpr std::string_view kInterruptedModel = "cnn";
inline constexpr std::int64_t kInterruptedAfter = 94;

/// A summary as the page prints it, in Markdown.
struct PageSummary {
  std::string_view model;
  bool mflops = true;  ///< summarize's table; false: shape's
  std::string_view markdown;
};

std::span<const PageSummary> page_summaries();

}  // namespace fatwood
