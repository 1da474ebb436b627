#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/state.h>

namespace fatwood {
namespace {

std::string refusal(torch::nn::Module& module, const NamedTensors& state) {
  try {
    load_state(module, state, "a.safetensors");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::model);
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(State, load_takes_over_every_tensor) {
  const auto from = make<Conv>({}), to = make<Conv>({});
  from->forward(torch::randn({4, 1, 8, 8}));
  load_state(*to, named_state(*from), "from");
  const NamedTensors a = named_state(*from), b = named_state(*to);
  ASSERT_EQ(a.size(), 6u);
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(torch::equal(a[i].second, b[i].second)) << a[i].first;
}

TEST(State, load_names_what_does_not_fit_and_changes_nothing) {
  const auto conv = make<Conv>({});
  const Tensor before = conv->weight.detach().clone();
  const NamedTensors good = named_state(*make<Conv>({}));
  NamedTensors missing = good, unknown = good, misshapen = good;
  missing.erase(missing.begin() + 1);
  unknown.emplace_back("extra", torch::zeros(1));
  misshapen[1].second = torch::zeros(9);
  EXPECT_THAT(refusal(*conv, missing),
              testing::HasSubstr("a.safetensors: norm.weight is missing, wanted (8)"));
  EXPECT_THAT(refusal(*conv, unknown), testing::HasSubstr("extra is not in the model"));
  EXPECT_THAT(refusal(*conv, misshapen), testing::HasSubstr("norm.weight is (9), wanted (8)"));
  EXPECT_TRUE(torch::equal(conv->weight, before));
}

TEST(State, copy_takes_over_the_dtype) {
  const auto from = make<Conv>({}), to = make<Conv>({});
  from->to(torch::kDouble);
  copy_state(*from, *to);
  EXPECT_EQ(to->weight.scalar_type(), torch::kDouble);
  EXPECT_TRUE(to->weight.requires_grad());
}

}  // namespace
}  // namespace fatwood
