// In the place of the other sources where CUDA is not part of the build.
#include <fatwood/core/error.h>
#include <fatwood/cuda/activation_norm.h>
#include <fatwood/cuda/convolution.h>
#include <fatwood/cuda/cross_entropy.h>
#include <fatwood/cuda/cuda.h>

namespace fatwood::cuda {
namespace {

[[noreturn]] void refuse() {
  throw Error(
      ErrorKind::usage, "cuda",
      "this build is without CUDA: it found no LibTorch with CUDA, or no headers of its runtime");
}

}  // namespace

bool built() {
  return false;
}

struct OwnStream::State {};
OwnStream::OwnStream() {
  refuse();
}
OwnStream::~OwnStream() = default;

struct Graph::State {};
Graph::Graph(const std::function<void()>&) {
  refuse();
}
Graph::~Graph() = default;
void Graph::replay() {}

void gather_images(const DeviceImages&, const Tensor&, std::int64_t, const Tensor&, const Tensor&) {
  refuse();
}

void AdamWPass::run(const std::vector<Tensor>&, const std::vector<Tensor>&,
                    const std::vector<Tensor>&, const std::vector<Tensor>&, const Rates&) {
  refuse();
}

StatisticsScratch::StatisticsScratch() {
  refuse();
}

bool measurable(const Tensor&) {
  return false;
}

void measure(const Tensor&, bool, StatisticsScratch&, const Tensor&) {
  refuse();
}

bool takes_norm(const Tensor&, const torch::nn::BatchNorm2dImpl&) {
  return false;
}

Tensor activation_norm(const Tensor&, Activation, torch::nn::BatchNorm2dImpl&) {
  refuse();
}

Tensor norm_relu(const Tensor&, torch::nn::BatchNorm2dImpl&, const Tensor&) {
  refuse();
}

bool takes_sum(const Tensor&, const Tensor&) {
  return false;
}

Tensor sum_activation(const Tensor&, const Tensor&, Activation) {
  refuse();
}

bool takes_convolution(const Tensor&, const Tensor&, std::int64_t) {
  return false;
}

Tensor convolution(const Tensor&, const Tensor&, const Tensor&, std::int64_t) {
  refuse();
}

bool takes_average_pool(const Tensor&) {
  return false;
}

Tensor average_pool(const Tensor&) {
  refuse();
}

bool takes_cross_entropy(const Tensor&, const Tensor&) {
  return false;
}

Tensor cross_entropy(const Tensor&, const Tensor&) {
  refuse();
}

}  // namespace fatwood::cuda
