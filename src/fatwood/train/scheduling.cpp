#include <fatwood/core/error.h>
#include <fatwood/train/scheduling.h>

namespace fatwood {

Scheduling::Scheduling(SchedulePtr schedule, Every every)
    : schedule_(std::move(schedule)), every_(every) {
  if (!schedule_) throw Error(ErrorKind::usage, "Scheduling", "no schedule");
}

void Scheduling::before_epoch(Run& run) {
  if (run.training() && every_ == Every::epoch) apply(run, run.epoch);
}

void Scheduling::before_batch(Run& run) {
  if (run.training() && every_ == Every::batch) apply(run, run.step);
}

void Scheduling::apply(Run& run, std::int64_t step) const {
  for (ParamGroup& group : run.optimizer->groups()) {
    group.lr = schedule_->lr(step, group.base_lr);
    if (const auto momentum = schedule_->momentum(step)) group.momentum = *momentum;
  }
}

}  // namespace fatwood
