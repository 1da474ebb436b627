#include <cmath>

#include <torch/types.h>

#include <fatwood/core/error.h>
#include <fatwood/cuda/cuda.h>
#include <fatwood/cuda/program.h>

namespace fatwood::cuda {
namespace {

constexpr std::int64_t kChunk = 1024;    // as in kernels.cu
constexpr std::int64_t kSliceWords = 5;  // four addresses and a length
constexpr std::size_t kMostTables = 8;   // full and last batches of several groups

std::int64_t address(const Tensor& tensor) {
  return reinterpret_cast<std::int64_t>(tensor.data_ptr());
}

}  // namespace

void AdamWPass::run(const std::vector<Tensor>& parameters, const std::vector<Tensor>& gradients,
                    const std::vector<Tensor>& exp_avgs, const std::vector<Tensor>& exp_avg_sqs,
                    const Rates& rates) {
  if (parameters.empty()) return;
  std::vector<std::int64_t> words;
  words.reserve(parameters.size() * (kSliceWords + 1));
  std::int64_t chunks = 0;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    for (const Tensor* tensor : {&parameters[i], &gradients[i], &exp_avgs[i], &exp_avg_sqs[i]})
      words.push_back(address(*tensor));
    words.push_back(parameters[i].numel());
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const std::int64_t count = (parameters[i].numel() + kChunk - 1) / kChunk;
    // struct Chunk of kernels.cu: the lower half is the slice.
    for (std::int64_t c = 0; c < count; ++c)
      words.push_back(static_cast<std::int64_t>(i) | (c << 32));
    chunks += count;
  }
  if (chunks == 0) return;
  const Table* table = nullptr;
  for (const Table& known : tables_) {
    if (known.words == words) table = &known;
  }
  if (!table) {
    if (tables_.size() >= kMostTables) tables_.erase(tables_.begin());
    const Tensor on_device = torch::tensor(words, torch::kLong).to(parameters.front().device());
    tables_.push_back({std::move(words), chunks, on_device});
    table = &tables_.back();
  }
  const std::int64_t* slices = table->on_device.const_data_ptr<std::int64_t>();
  const std::int64_t* chunk_list =
      slices + kSliceWords * static_cast<std::int64_t>(parameters.size());
  float lr = static_cast<float>(rates.lr), beta1 = static_cast<float>(rates.beta1),
        beta2 = static_cast<float>(rates.beta2),
        weight_decay = static_cast<float>(rates.weight_decay), eps = static_cast<float>(rates.eps);
  float correction1 = static_cast<float>(1 - std::pow(rates.beta1, rates.step));
  float correction2 = static_cast<float>(std::sqrt(1 - std::pow(rates.beta2, rates.step)));
  auto arguments = addresses_of(slices, chunk_list, lr, beta1, beta2, weight_decay, eps,
                                correction1, correction2);
  launch("adamw", {.x = chunks}, /*threads=*/256, arguments.data());
}

}  // namespace fatwood::cuda
