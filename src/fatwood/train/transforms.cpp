#include <fatwood/core/error.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/transforms.h>

namespace fatwood {

void DevicePlacement::before_fit(Run& run) {
  run.model->to(run.device);
}

void DevicePlacement::before_batch(Run& run) {
  run.batch.x = run.batch.x.to(run.device, /*non_blocking=*/true);
  run.batch.y = run.batch.y.to(run.device, /*non_blocking=*/true);
}

void BatchTransform::before_batch(Run& run) {
  if (run.training() || !training_only_) run.batch = transform_(run.batch);
}

CallbackPtr normalize_batch(double mean, double std) {
  if (!(std > 0)) {
    throw Error(ErrorKind::usage, "normalize_batch",
                "deviation " + std::to_string(std) + ", wanted above 0");
  }
  return std::make_shared<BatchTransform>([mean, std](const Batch& batch) {
    return Batch{(batch.x - mean) / std, batch.y};
  });
}

}  // namespace fatwood
