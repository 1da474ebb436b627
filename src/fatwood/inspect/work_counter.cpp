#include <string_view>

#include <torch/torch.h>

#include <fatwood/inspect/work_counter.h>

namespace fatwood {
namespace {

thread_local std::int64_t counted = 0;

// The operator's inputs and outputs are those of its schema in native_functions.yaml.
void count(const at::RecordFunction& function, at::ObserverContext*) {
  const std::string_view name = function.name();
  const auto& in = function.inputs();
  const auto& out = function.outputs();
  const auto is_tensor = [](const auto& values, std::size_t i) {
    return values.size() > i && values[i].isTensor();
  };
  if (name == "aten::convolution") {
    if (!is_tensor(in, 1) || !is_tensor(out, 0)) return;
    const at::Tensor& weight = in[1].toTensor();
    const bool transposed = in.size() > 6 && in[6].toBool();
    const std::int64_t placed = transposed ? in[0].toTensor().numel() : out[0].toTensor().numel();
    counted += placed * (weight.numel() / weight.size(0));
  } else if (name == "aten::addmm" || name == "aten::baddbmm") {
    if (is_tensor(in, 1) && is_tensor(out, 0))
      counted += out[0].toTensor().numel() * in[1].toTensor().size(-1);
  } else if (name == "aten::mm" || name == "aten::bmm") {
    if (is_tensor(in, 0) && is_tensor(out, 0))
      counted += out[0].toTensor().numel() * in[0].toTensor().size(-1);
  }
}

}  // namespace

WorkCounter::WorkCounter()
    : handle_(at::addThreadLocalCallback(at::RecordFunctionCallback(nullptr, &count)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}))) {
  counted = 0;
}

WorkCounter::~WorkCounter() {
  at::removeCallback(handle_);
}

std::int64_t WorkCounter::take() {
  return std::exchange(counted, 0);
}

}  // namespace fatwood
