// Scheduling: puts a schedule's learning rate and momentum into every parameter group, before each
// training batch or before each training pass.
#pragma once

#include <fatwood/train/callback.h>
#include <fatwood/train/schedule.h>

namespace fatwood {

enum class Every { batch, epoch };

class Scheduling : public Callback {
 public:
  explicit Scheduling(SchedulePtr schedule, Every every = Every::batch);

  std::string name() const override { return "scheduling"; }
  Stage stage() const override { return Stage::schedule; }
  void before_epoch(Run& run) override;
  void before_batch(Run& run) override;

 private:
  void apply(Run& run, std::int64_t step) const;

  SchedulePtr schedule_;
  Every every_;
};

}  // namespace fatwood
