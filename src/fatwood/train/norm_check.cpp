#include <exception>
#include <string>

#include <ATen/CPUGeneratorImpl.h>

#include <fatwood/core/error.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/sequential.h>
#include <fatwood/train/norm_check.h>

namespace fatwood {

void check_norms(const Layer& model, BatchSource& training) {
  const std::int64_t last = (training.samples() - 1) % training.batch_size() + 1;
  if (last != 1) return;
  LayerPtr copy;
  try {
    copy = std::static_pointer_cast<Layer>(model.clone(torch::Device(torch::kCPU)));
  } catch (const std::exception&) {
    return;  // a module of the user's that cannot be copied: the batch itself will report
  }
  copy->train();
  const torch::NoGradGuard no_grad;
  const PlainExecution plainly;
  auto generator = at::detail::getDefaultCPUGenerator();
  const Tensor generator_state = generator.get_state();
  std::string refusal;  // in LibTorch's words; other failures are for the batch itself to report
  try {
    copy->forward(training.get(0, training.batches() - 1).x.to(torch::kCPU));
  } catch (const c10::Error& error) {
    refusal = error.what_without_backtrace();
  } catch (const std::exception&) {
    refusal.clear();
  }
  generator.set_state(generator_state);
  if (refusal.find("more than 1 value per channel") == std::string::npos) return;
  throw Error(ErrorKind::data, "batch norm",
              "last training batch: found 1 of " + std::to_string(training.samples()) +
                  " samples, which leaves a norm one value per channel, wanted 2 or more; "
                  "choose another batch size than " +
                  std::to_string(training.batch_size()));
}

}  // namespace fatwood
