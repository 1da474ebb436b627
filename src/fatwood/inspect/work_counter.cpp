#include <string_view>

#include <fatwood/inspect/work_counter.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {
namespace {

thread_local std::int64_t counted_work = 0;

// What one entry of an operator's output costs. The inputs are there before the operator runs, the
// outputs after it.
struct Cost : at::ObserverContext {
  explicit Cost(std::int64_t macs) : macs_per_output(macs) {}
  std::int64_t macs_per_output;
};

// The inputs are those of the operator's schema in native_functions.yaml.
std::unique_ptr<at::ObserverContext> before(const at::RecordFunction& function) {
  const std::string_view name = function.name();
  const auto in = function.inputs();
  const auto is_tensor = [&in](std::size_t i) { return in.size() > i && in[i].isTensor(); };
  if (name == "aten::convolution" && is_tensor(0) && is_tensor(1)) {
    const at::Tensor& weight = in[1].toTensor();
    const std::int64_t per_pixel = weight.numel() / weight.size(0);
    const bool transposed = in.size() > 6 && in[6].isBool() && in[6].toBool();
    if (!transposed) return std::make_unique<Cost>(per_pixel);
    counted_work += in[0].toTensor().numel() * per_pixel;
  } else if ((name == "aten::addmm" || name == "aten::baddbmm") && is_tensor(1)) {
    return std::make_unique<Cost>(in[1].toTensor().size(-1));
  } else if ((name == "aten::mm" || name == "aten::bmm") && is_tensor(0)) {
    return std::make_unique<Cost>(in[0].toTensor().size(-1));
  }
  return nullptr;
}

void after(const at::RecordFunction& function, at::ObserverContext* context) {
  const auto* cost = static_cast<const Cost*>(context);
  const auto& out = function.outputs();
  if (cost && !out.empty() && out[0].isTensor())
    counted_work += out[0].toTensor().numel() * cost->macs_per_output;
}

}  // namespace

WorkCounter::WorkCounter()
    : handle_(at::addThreadLocalCallback(at::RecordFunctionCallback(&before, &after)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}))) {
  counted_work = 0;
}

WorkCounter::~WorkCounter() {
  at::removeCallback(handle_);
}

std::int64_t WorkCounter::take() {
  return std::exchange(counted_work, 0);
}

}  // namespace fatwood
