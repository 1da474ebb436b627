#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include <fatwood/core/error.h>
#include <fatwood/train/schedule.h>

namespace fatwood {
namespace {

void require(bool holds, const char* schedule, const std::string& message) {
  if (!holds) throw Error(ErrorKind::usage, schedule, message);
}

class OneCycle : public Schedule {
 public:
  explicit OneCycle(const OneCycleOptions& options) : options_(options) {}

  double lr(std::int64_t step, double base_lr) const override {
    const double first = base_lr / options_.div_factor;
    const double last = first / options_.final_div_factor;
    const auto [rising, share] = position(step);
    return rising ? between(first, base_lr, share) : between(base_lr, last, share);
  }

  std::optional<double> momentum(std::int64_t step) const override {
    if (!options_.cycle_momentum) return std::nullopt;
    const auto [rising, share] = position(step);
    return rising ? between(options_.max_momentum, options_.base_momentum, share)
                  : between(options_.base_momentum, options_.max_momentum, share);
  }

 private:
  // Which of the two phases, and how far through it.
  std::pair<bool, double> position(std::int64_t step) const {
    const auto at =
        static_cast<double>(std::clamp<std::int64_t>(step, 0, options_.total_steps - 1));
    const auto total = static_cast<double>(options_.total_steps);
    const double peak = options_.pct_start * total - 1;
    if (at <= peak) return {true, peak > 0 ? at / peak : 1};
    const double end = total - 1;
    return {false, end > peak ? (at - peak) / (end - peak) : 1};
  }

  double between(double from, double to, double share) const {
    if (options_.anneal == Anneal::linear) return (to - from) * share + from;
    return to + (from - to) / 2 * (std::cos(std::numbers::pi * share) + 1);
  }

  OneCycleOptions options_;
};

class Cosine : public Schedule {
 public:
  Cosine(std::int64_t t_max, double eta_min) : t_max_(t_max), eta_min_(eta_min) {}
  double lr(std::int64_t step, double base_lr) const override {
    const double share = static_cast<double>(step) / static_cast<double>(t_max_);
    return eta_min_ + (base_lr - eta_min_) * (1 + std::cos(std::numbers::pi * share)) / 2;
  }

 private:
  std::int64_t t_max_;
  double eta_min_;
};

class Linear : public Schedule {
 public:
  Linear(std::int64_t total, double start, double end) : total_(total), start_(start), end_(end) {}
  double lr(std::int64_t step, double base_lr) const override {
    const double share = static_cast<double>(std::min(step, total_)) / static_cast<double>(total_);
    return base_lr * (start_ + (end_ - start_) * share);
  }

 private:
  std::int64_t total_;
  double start_, end_;
};

class StepDecay : public Schedule {
 public:
  StepDecay(std::int64_t step_size, double gamma) : step_size_(step_size), gamma_(gamma) {}
  double lr(std::int64_t step, double base_lr) const override {
    const std::int64_t drops = step / step_size_;
    return base_lr * std::pow(gamma_, static_cast<double>(drops));
  }

 private:
  std::int64_t step_size_;
  double gamma_;
};

class Constant : public Schedule {
 public:
  double lr(std::int64_t, double base_lr) const override { return base_lr; }
};

class Sequence : public Schedule {
 public:
  Sequence(std::vector<SchedulePtr> schedules, std::vector<std::int64_t> milestones)
      : schedules_(std::move(schedules)), milestones_(std::move(milestones)) {}
  double lr(std::int64_t step, double base_lr) const override {
    const auto [schedule, start] = active(step);
    return schedule->lr(step - start, base_lr);
  }
  std::optional<double> momentum(std::int64_t step) const override {
    const auto [schedule, start] = active(step);
    return schedule->momentum(step - start);
  }

 private:
  std::pair<const Schedule*, std::int64_t> active(std::int64_t step) const {
    const auto next = std::upper_bound(milestones_.begin(), milestones_.end(), step);
    const auto i = static_cast<std::size_t>(next - milestones_.begin());
    return {schedules_[i].get(), i == 0 ? 0 : milestones_[i - 1]};
  }

  std::vector<SchedulePtr> schedules_;
  std::vector<std::int64_t> milestones_;
};

}  // namespace

SchedulePtr one_cycle(const OneCycleOptions& options) {
  require(options.total_steps >= 1, "one_cycle",
          "total_steps " + std::to_string(options.total_steps) + ", wanted 1 or more");
  require(options.pct_start >= 0 && options.pct_start <= 1, "one_cycle",
          "pct_start " + std::to_string(options.pct_start) + ", wanted 0 to 1");
  require(options.div_factor > 0 && options.final_div_factor > 0, "one_cycle",
          "a divisor of 0 or less");
  return std::make_shared<OneCycle>(options);
}

SchedulePtr cosine(std::int64_t t_max, double eta_min) {
  require(t_max >= 1, "cosine", "t_max " + std::to_string(t_max) + ", wanted 1 or more");
  return std::make_shared<Cosine>(t_max, eta_min);
}

SchedulePtr linear(std::int64_t total_steps, double start_factor, double end_factor) {
  require(total_steps >= 1, "linear",
          "total_steps " + std::to_string(total_steps) + ", wanted 1 or more");
  return std::make_shared<Linear>(total_steps, start_factor, end_factor);
}

SchedulePtr exponential(double gamma) {
  return step_decay(1, gamma);
}

SchedulePtr step_decay(std::int64_t step_size, double gamma) {
  require(step_size >= 1, "step_decay",
          "step_size " + std::to_string(step_size) + ", wanted 1 or more");
  require(std::isfinite(gamma) && gamma > 0, "step_decay",
          "gamma " + std::to_string(gamma) + ", wanted above 0");
  return std::make_shared<StepDecay>(step_size, gamma);
}

SchedulePtr constant() {
  return std::make_shared<Constant>();
}

SchedulePtr sequence(std::vector<SchedulePtr> schedules, std::vector<std::int64_t> milestones) {
  require(schedules.size() == milestones.size() + 1, "sequence",
          std::to_string(schedules.size()) + " schedules and " + std::to_string(milestones.size()) +
              " milestones, wanted one milestone fewer");
  require(std::is_sorted(milestones.begin(), milestones.end()), "sequence",
          "milestones fall, wanted them rising");
  return std::make_shared<Sequence>(std::move(schedules), std::move(milestones));
}

}  // namespace fatwood
