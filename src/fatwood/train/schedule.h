// Learning-rate schedules as functions of the step: no state, so a resumed run is where it was.
// Each equals the PyTorch scheduler that it names, value for value.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace fatwood {

class Schedule {
 public:
  virtual ~Schedule() = default;
  /// Learning rate of step `step` (from 0) for a group whose base rate is `base_lr`.
  virtual double lr(std::int64_t step, double base_lr) const = 0;
  /// Momentum (AdamW's beta1) of that step; nullopt: left as it is.
  virtual std::optional<double> momentum(std::int64_t /*step*/) const { return std::nullopt; }
};

using SchedulePtr = std::shared_ptr<const Schedule>;

enum class Anneal { cosine, linear };

struct OneCycleOptions {
  std::int64_t total_steps = 0;   ///< wanted; later steps keep the last value
  double pct_start = 0.3;         ///< share of the steps in which the rate rises
  double div_factor = 25;         ///< first rate is base / div_factor
  double final_div_factor = 1e4;  ///< last rate is first / final_div_factor
  double base_momentum = 0.85;    ///< at the highest rate
  double max_momentum = 0.95;     ///< at the lowest
  bool cycle_momentum = true;
  Anneal anneal = Anneal::cosine;
};

/// torch.optim.lr_scheduler.OneCycleLR; the base rate is its max_lr.
/// Throws Error{usage} for total_steps below 1, pct_start outside [0, 1] or a divisor of 0.
SchedulePtr one_cycle(const OneCycleOptions& options);

/// CosineAnnealingLR: from the base rate to `eta_min` over `t_max` steps.
SchedulePtr cosine(std::int64_t t_max, double eta_min = 0);

/// LinearLR: the factor goes from `start_factor` to `end_factor` over `total_steps`. A warm-up.
SchedulePtr linear(std::int64_t total_steps, double start_factor = 1.0 / 3, double end_factor = 1);

/// ExponentialLR: base · gamma^step.
SchedulePtr exponential(double gamma);

/// StepLR: base · gamma^⌊step / step_size⌋.
SchedulePtr step_decay(std::int64_t step_size, double gamma = 0.1);

/// The base rate throughout.
SchedulePtr constant();

/// SequentialLR: schedules[i] from milestones[i − 1] on, counting its steps from there.
/// Throws Error{usage} unless milestones rise and are one fewer than the schedules.
SchedulePtr sequence(std::vector<SchedulePtr> schedules, std::vector<std::int64_t> milestones);

}  // namespace fatwood
