// What may change around a stretch, between its two passes and from one forward pass to the next.
#include <cmath>
#include <functional>

#include <c10/core/DefaultDtype.h>
#include <c10/core/ScalarTypeToTypeMeta.h>
#include <gmock/gmock.h>

#include <fatwood/engine/engine.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/resnet.h>
#include <fatwood/model/sequential.h>

#include "on_kernels.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

/// The second convolution's backward pass reads its weights and the norm of the first.
LayerPtr two_convolutions() {
  torch::manual_seed(21);
  return make<Sequential>(
      {make<Conv>({.c_in = 1, .c_out = 8, .stride = 1}), make<Conv>({.c_in = 8, .c_out = 4})});
}

/// The output and every gradient of a step; `between` runs between its passes.
std::vector<Tensor> step_of(
    Layer& model, const Tensor& x, const std::function<void(Layer&)>& between = [](Layer&) {}) {
  const Tensor out = model.forward(x);
  between(model);
  const Tensor weights = torch::linspace(-1, 1, out.numel(), torch::kFloat).view_as(out);
  (out * weights).sum().backward();
  std::vector<Tensor> results{out.detach()};
  for (const Tensor& parameter : model.parameters()) results.push_back(parameter.grad());
  return results;
}

void expect_the_same_bits(const std::vector<Tensor>& found, const std::vector<Tensor>& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_TRUE(found[i].defined() && wanted[i].defined()) << i;
    EXPECT_TRUE(torch::equal(found[i], wanted[i])) << i;
  }
}

TEST(FusedStretch, a_backward_pass_takes_more_threads_than_its_forward_pass_had) {
  const LayerPtr start = two_convolutions();
  const Tensor x = torch::randn({64, 1, 9, 9});
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto wanted = step_of(*copy_on_kernels(*start), x);
  const auto found = step_of(*copy_on_kernels(*start), x, [](Layer&) { at::set_num_threads(3); });
  at::set_num_threads(before);
  expect_the_same_bits(found, wanted);
}

TEST(FusedStretch, a_backward_pass_reads_parameters_where_they_lie_by_then) {
  const LayerPtr start = two_convolutions();
  const Tensor x = torch::randn({16, 1, 9, 9});
  const auto move = [](Layer& model) {
    for (const Tensor& parameter : model.parameters()) {
      const Tensor old = parameter.data();
      parameter.set_data(old.clone());
      old.fill_(std::nan(""));
    }
  };
  expect_the_same_bits(step_of(*copy_on_kernels(*start), x, move),
                       step_of(*copy_on_kernels(*start), x));
}

TEST(FusedStretch, a_parameter_that_became_another_after_the_forward_pass_is_an_error) {
  const LayerPtr start = two_convolutions();
  const Tensor x = torch::randn({16, 1, 9, 9});
  const auto thrown = [&](const std::function<void(Layer&)>& replace) {
    return thrown_by([&] { step_of(*copy_on_kernels(*start), x, replace); });
  };
  EXPECT_THAT(thrown([](Layer& model) { model.to(torch::kDouble); }),
              error_with(ErrorKind::model, "found Double (8, 1, 3, 3) on cpu"));
  EXPECT_THAT(thrown([](Layer& model) {
                model.named_parameters()["0.weight"].set_data(torch::randn({8, 1, 5, 5}));
              }),
              error_with(ErrorKind::model, "(8, 1, 5, 5) on cpu, wanted Float (8, 1, 3, 3)"));
  EXPECT_THAT(thrown([](Layer& model) {
                const Tensor weight = model.named_parameters()["1.weight"];
                weight.set_data(weight.contiguous(torch::MemoryFormat::ChannelsLast));
              }),
              error_with(ErrorKind::model, "not contiguous"));
}

TEST(FusedStretch, a_plan_follows_options_that_change) {
  torch::manual_seed(22);
  const auto block = make<BasicBlock>({.c_in = 2, .c_out = 4, .stride = 2});
  const auto model = make<Sequential>({block});
  put_on_kernels(*model);
  model->eval();
  const torch::NoGradGuard no_grad;
  const Tensor x = torch::randn({16, 2, 8, 8});
  EXPECT_EQ(model->forward(x).size(2), 4);
  block->conv1->options.stride(1);
  block->downsample_conv->options.stride(1);
  const Tensor found = model->forward(x);
  const PlainExecution plainly;
  const Tensor wanted = model->forward(x);
  ASSERT_EQ(found.sizes(), wanted.sizes());
  EXPECT_LT((found - wanted).abs().max().item<double>(), 1e-4);
}

class DefaultType {
 public:
  explicit DefaultType(at::ScalarType type) : before_(c10::get_default_dtype_as_scalartype()) {
    set(type);
  }
  ~DefaultType() { set(before_); }
  DefaultType(const DefaultType&) = delete;
  DefaultType& operator=(const DefaultType&) = delete;

 private:
  static void set(at::ScalarType type) { c10::set_default_dtype(c10::scalarTypeToTypeMeta(type)); }
  at::ScalarType before_;
};

TEST(FusedStretch, is_float_whatever_the_default_type_is) {
  const LayerPtr start = two_convolutions();
  const LayerPtr usual = copy_on_kernels(*start), other = copy_on_kernels(*start);
  const Tensor x = torch::randn({16, 1, 9, 9}).requires_grad_();
  const auto wanted = step_of(*usual, x);
  const DefaultType in_double(torch::kDouble);
  expect_the_same_bits(step_of(*other, x), wanted);
}

}  // namespace
}  // namespace fatwood
