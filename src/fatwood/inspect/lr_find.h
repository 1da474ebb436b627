// lr_find: a sweep of rising learning rates over a learner's own batches, and the rates that its
// losses suggest. Whatever ends the sweep, model and optimiser are as they were.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <fatwood/train/learner.h>

namespace fatwood {

struct LrFindOptions {
  double start_lr = 1e-5;  ///< of the first batch
  double end_lr = 10;      ///< no batch gets a higher rate
  double factor = 1.3;     ///< from one batch to the next
  double stop_at = 3;      ///< the sweep ends at a loss of this many times the lowest
  std::stop_token stop = {};
  /// Called after every batch: its number from 0, how many there can be, its rate and its loss.
  std::function<void(std::int64_t, std::int64_t, double, double)> watch = {};
};

struct LrFindResult {
  std::vector<double> lr;          ///< of every batch
  std::vector<double> loss;        ///< as many; the last one may not be finite
  std::optional<double> steepest;  ///< see below
  std::optional<double> valley;
  std::string ended;         ///< why the sweep ended, in words
  bool interrupted = false;  ///< by the stop token
};

/// Trains the learner's model with its optimiser, loss function and step parts, batch i (from the
/// first epoch's first) at rate start_lr · factorⁱ in every parameter group, until end_lr, a loss
/// above `stop_at` times the lowest (where that is above 0) or a loss that is not finite. Of the
/// learner's callbacks those of the stages place, data and train take part: what a batch and a step
/// are; nothing is recorded and no evaluation pass is run.
///
/// Afterwards, also when a callback throws: parameters, buffers, modes, gradients, optimiser state,
/// rates, momenta and the CPU's default generator are what they were, bit for bit. A model that
/// `DevicePlacement` moved stays on that device.
///
/// Throws Error{usage} for options that cannot be, Error{diverged} when the loss is not finite at
/// the first batch.
LrFindResult lr_find(Learner& learner, const LrFindOptions& options = {});

/// Throws Error{usage} naming the first option that cannot be.
void check(const LrFindOptions& options);

/// The suggestions work on smoothed losses: the mean of a loss and its neighbours at weights
/// 1 2 3 2 1, losses that are not finite left out; it does not lag. Both give nothing unless the
/// smoothed losses fall by 5 % of the first one.
///
/// steepest: the rate where the loss falls fastest per factor of the rate, that is the smallest
/// (lossᵢ₊₁ − lossᵢ) / (log lrᵢ₊₁ − log lrᵢ), among the points up to the lowest loss; a fall behind
/// it is a recovery. Source: fastai's `steep`, which has no such bound.
std::optional<double> steepest_lr(std::span<const double> lr, std::span<const double> loss);

/// valley: with the longest falling subsequence of losses, of length n and ending at point e, the
/// rate of point (e − n) + ⌊n/3⌋ + ⌊n/6⌋: about the middle of the fall. Source: fastai's `valley`,
/// its default suggestion.
std::optional<double> valley_lr(std::span<const double> lr, std::span<const double> loss);

/// `lr_find.json` (docs/run-folder.md).
nlohmann::json to_json(const LrFindResult& found);

}  // namespace fatwood
