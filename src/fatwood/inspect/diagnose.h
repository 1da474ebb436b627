// diagnose: what the rows of a run say about its health, in words. Reads rows alone, so it works
// on a live run, on a folder of years ago and without LibTorch. Every rule with its reasons and
// its numbers is in docs/diagnose.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fatwood/core/rows.h>

namespace fatwood {

/// The rows that the rules read. Evaluation rows are passed over.
struct DiagnosisInput {
  std::span<const LayerInfo> layers;  ///< of the run record, in running order
  std::span<const BatchRow> batches;
  std::span<const StatsRow> stats;
  const EndRow* end = nullptr;  ///< null while the run goes on, or when it was killed
};

/// One illness. It names the layer where it shows first; the layers after it follow from that one
/// more often than not.
struct Finding {
  std::string_view rule;        ///< "dead-units": the heading in docs/diagnose.md
  std::string layer;            ///< "layers.2"; empty when it concerns the whole network
  std::int64_t first_step = 0;  ///< where the rule held first
  std::int64_t last_step = 0;   ///< and last
  std::string what;             ///< what the rows show, with its figures
  std::string advice;           ///< what to try
};

/// The findings in the order of their first steps; none for a healthy run.
std::vector<Finding> diagnose(const DiagnosisInput& input);

/// A rule: its name and its test. At most one finding of each.
struct DiagnosisRule {
  std::string_view name;
  std::optional<Finding> (*find)(const DiagnosisInput& input);
};
std::span<const DiagnosisRule> diagnosis_rules();

/// What the rules hold against; docs/diagnose.md says where each figure comes from.
namespace diagnosis {
inline constexpr std::size_t kRows = 5;          ///< rows in a row that statistics must show it
inline constexpr std::size_t kHistograms = 3;    ///< likewise of rows with histograms
inline constexpr double kDeadShare = 0.9;        ///< of activations with |x| < 0.25
inline constexpr double kLiveEnergy = 0.8;       ///< share of Σx² that the others carry
inline constexpr double kHighDeviation = 20;     ///< of a layer before the head
inline constexpr double kLowDeviation = 0.02;    ///< likewise
inline constexpr double kSaturatedLogits = 10;   ///< deviation of the head's output
inline constexpr double kLossOfSaturated = 0.1;  ///< nats; above it saturated logits are wrong
inline constexpr std::size_t kLossWindow = 9;    ///< batches in a moving median of the loss
inline constexpr double kComeback = 2;           ///< a median this many times the lowest,
inline constexpr double kComebackNats = 0.25;    ///< and by this much, is a comeback
inline constexpr std::int64_t kSettling = 25;    ///< batches in which a loss may fall to chance
inline constexpr std::int64_t kPatience = 50;    ///< batches after those without progress
inline constexpr double kProgress = 0.1;         ///< share of the loss that progress takes off
}  // namespace diagnosis

}  // namespace fatwood
