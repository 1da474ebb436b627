#include <fatwood/core/error.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/gradients.h>

namespace fatwood {

ClipGradients::ClipGradients(double max_norm) : max_norm_(max_norm) {
  if (!(max_norm > 0)) {
    throw Error(ErrorKind::usage, "ClipGradients",
                "norm " + std::to_string(max_norm) + ", wanted above 0");
  }
}

void ClipGradients::after_backward(Run& run) {
  if (!run.step_due) return;
  torch::nn::utils::clip_grad_norm_(run.model->parameters(), max_norm_);
}

AccumulateGradients::AccumulateGradients(std::int64_t batches) : batches_(batches) {
  if (batches < 1) {
    throw Error(ErrorKind::usage, "AccumulateGradients",
                std::to_string(batches) + " batches, wanted 1 or more");
  }
}

void AccumulateGradients::before_fit(Run& run) {
  run.parts.backward = [batches = batches_](Run& r) {
    (r.loss / static_cast<double>(batches)).backward();
  };
  run.parts.step = [step = run.parts.step](Run& r) {
    if (r.step_due) step(r);
  };
  run.parts.zero_grad = [zero_grad = run.parts.zero_grad](Run& r) {
    if (r.step_due) zero_grad(r);
  };
}

void AccumulateGradients::before_batch(Run& run) {
  run.step_due = (run.batch_index + 1) % batches_ == 0 || run.batch_index + 1 == run.batches;
}

void AccumulateGradients::cleanup_fit(Run& run) {
  run.step_due = true;
}

GradientMomentum::GradientMomentum(double momentum) : momentum_(momentum) {
  if (!(momentum >= 0 && momentum < 1)) {
    throw Error(ErrorKind::usage, "GradientMomentum",
                std::to_string(momentum) + ", wanted 0 or more and below 1");
  }
}

void GradientMomentum::before_fit(Run& run) {
  run.parts.zero_grad = [momentum = momentum_](Run& r) {
    const torch::NoGradGuard no_grad;
    for (ParamGroup& group : r.optimizer->groups()) {
      for (auto& [name, parameter] : group.parameters) {
        if (parameter.grad().defined()) parameter.mutable_grad().mul_(momentum);
      }
    }
  };
}

void GradientMomentum::cleanup_fit(Run& run) {
  run.optimizer->zero_grad();
}

}  // namespace fatwood
