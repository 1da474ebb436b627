// The fused engine in bf16: its gradients beside those of LibTorch's own bf16 (autocast), both
// against double precision; what stays f32; and that it learns.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <ATen/autocast_mode.h>
#include <gmock/gmock.h>

#include <fatwood/core/error.h>
#include <fatwood/engine/engine.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/model/resnet.h>
#include <fatwood/model/sequential.h>
#include <fatwood/train/optimizer.h>

namespace fatwood {
namespace {

using kernels::Precision;
using testing::HasSubstr;

LayerPtr clone_of(const Layer& model) {
  return std::static_pointer_cast<Layer>(model.clone());
}

LayerPtr fused_copy(const Layer& model, Precision precision,
                    kernels::Isa isa = kernels::default_isa()) {
  LayerPtr copy = clone_of(model);
  use_engine(*copy, Engine::fused, isa, KernelChoice::always, precision);
  return copy;
}

/// LibTorch's operators in bf16 where it takes them to be safe.
class Autocast {
 public:
  explicit Autocast(bool on) {
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, on);
  }
  ~Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
};

using Gradients = std::map<std::string, Tensor>;

Gradients gradients_of(Layer& model, const Tensor& x, const Tensor& y, bool autocast = false) {
  Tensor out;
  {
    const Autocast scope(autocast);
    out = model.forward(x);
  }
  torch::cross_entropy_loss(autocast ? out.to(torch::kFloat) : out, y).backward();
  Gradients gradients{{"output", out.detach()}};
  for (const auto& p : model.named_parameters()) gradients[p.key()] = p->grad();
  return gradients;
}

/// ‖found - exact‖ / ‖exact‖; the second norm is no smaller than `floor`.
double distance(const Tensor& found, const Tensor& exact, double floor) {
  const double largest = std::max(exact.norm().item<double>(), floor);
  return (found.to(torch::kDouble) - exact).norm().item<double>() / largest;
}

/// Norms over the draws of one input after another: what a single draw rounds says little of a
/// gradient of eight numbers.
class Distances {
 public:
  void add(const std::string& key, double distance) { squares_[key] += distance * distance; }
  double of(const std::string& key) const { return std::sqrt(squares_.at(key)); }

 private:
  std::map<std::string, double> squares_;
};

TEST(EngineBf16, gradients_are_as_near_to_f64_as_those_of_torchs_autocast) {
  constexpr int kDraws = 4;
  for (const char* name : {"deeper_cnn", "residual_cnn", "double_conv_cnn"}) {
    torch::manual_seed(9);
    const LayerPtr model = build_model(name, {});
    std::map<std::string, Distances> of_isa;
    Distances of_torch;
    std::vector<std::string> keys;
    for (int draw = 0; draw < kDraws; ++draw) {
      const Tensor x = torch::randn({64, 1, 28, 28});
      const Tensor y = torch::randint(10, {64});
      const LayerPtr in_double = clone_of(*model);
      in_double->to(torch::kDouble);
      const Gradients exact = gradients_of(*in_double, x.to(torch::kDouble), y);
      const Gradients torchs = gradients_of(*clone_of(*model), x, y, true);
      double all = 0;
      keys.clear();
      for (const auto& [key, wanted] : exact) {
        keys.push_back(key);
        if (key != "output") all += wanted.pow(2).sum().item<double>();
      }
      // Some gradients are zero but for rounding (a shift before a norm).
      const double floor = 0.01 * std::sqrt(all);
      for (const auto& [key, wanted] : exact)
        of_torch.add(key, distance(torchs.at(key), wanted, floor));
      for (const kernels::IsaInfo& isa : kernels::isas()) {
        if (!kernels::runs_here(isa.isa)) continue;
        const Gradients found = gradients_of(*fused_copy(*model, Precision::bf16, isa.isa), x, y);
        for (const auto& [key, wanted] : exact)
          of_isa[std::string(isa.name)].add(key, distance(found.at(key), wanted, floor));
      }
    }
    for (const auto& [isa, distances] : of_isa) {
      double ours = 0;
      double theirs = 0;
      for (const std::string& key : keys) {
        EXPECT_LE(distances.of(key), 2 * of_torch.of(key) + 0.01 * std::sqrt(kDraws))
            << name << " on " << isa << ": " << key;
        ours += distances.of(key);
        theirs += of_torch.of(key);
      }
      EXPECT_LE(ours, 1.1 * theirs) << name << " on " << isa;
      RecordProperty(std::string(name) + " " + isa, std::to_string(ours / theirs));
    }
  }
}

TEST(EngineBf16, an_evaluation_rounds_no_more_than_torchs_autocast) {
  torch::manual_seed(10);
  const LayerPtr model = build_model("residual_cnn", {});
  model->forward(torch::randn({32, 1, 28, 28}));  // running statistics of their own
  model->eval();
  const torch::NoGradGuard no_grad;
  const Tensor x = torch::randn({33, 1, 28, 28});
  const LayerPtr in_double = clone_of(*model);
  in_double->to(torch::kDouble);
  const Tensor exact = in_double->forward(x.to(torch::kDouble));
  const Tensor ours = fused_copy(*model, Precision::bf16)->forward(x);
  const Autocast scope(true);
  const Tensor torchs = model->forward(x);
  EXPECT_EQ(ours.scalar_type(), torch::kFloat);
  EXPECT_LE(distance(ours, exact, 0), 1.5 * distance(torchs, exact, 0));
}

TEST(EngineBf16, layers_without_bf16_kernels_stay_f32_to_the_bit) {
  torch::manual_seed(11);
  const LayerPtr model = build_model("resnet18", {.nfs = {8, 16, 16, 24}});
  const Tensor x = torch::randn({17, 1, 28, 28});
  const Tensor y = torch::randint(10, {17});
  const Gradients f32 = gradients_of(*fused_copy(*model, Precision::f32), x, y);
  const Gradients bf16 = gradients_of(*fused_copy(*model, Precision::bf16), x, y);
  for (const auto& [key, wanted] : f32) EXPECT_TRUE(torch::equal(bf16.at(key), wanted)) << key;
}

TEST(EngineBf16, parts_a_stretch_where_the_precision_changes) {
  torch::manual_seed(12);
  const LayerPtr model = make<Sequential>({make<Conv>({.c_in = 3, .c_out = 9, .stride = 1}),
                                           make<BasicBlock>({.c_in = 9, .c_out = 9, .stride = 1}),
                                           make<Conv>({.c_in = 9, .c_out = 7, .stride = 2}),
                                           make<Head>(torch::nn::Linear(7, 10))});
  const Tensor x = torch::randn({40, 3, 9, 11});
  const Tensor y = torch::randint(10, {40});
  const Gradients f32 = gradients_of(*fused_copy(*model, Precision::f32), x, y);
  const Gradients bf16 = gradients_of(*fused_copy(*model, Precision::bf16), x, y);
  for (const auto& [key, wanted] : f32) {
    const double error = distance(bf16.at(key), wanted.to(torch::kDouble), 0.02);
    EXPECT_LT(error, 0.15) << key;
    if (key == "output") {
      EXPECT_GT(error, 1e-4) << "nothing ran in bf16";
    }
  }
  const auto rows = describe_plan(*model, x, kernels::default_isa(), Precision::bf16);
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0].precision, Precision::bf16);
  EXPECT_THAT(rows[0].kernels, HasSubstr("bf16: conv 3×3/1 3 → 9"));
  EXPECT_EQ(rows[1].precision, Precision::f32);
  EXPECT_THAT(rows[1].kernels, HasSubstr("f32, having no bf16 kernels: conv"));
}

TEST(EngineBf16, is_refused_where_nothing_runs_in_it) {
  EXPECT_EQ(precision_named("none", Engine::torch), Precision::f32);
  EXPECT_EQ(precision_named("bf16", Engine::fused), Precision::bf16);
  for (const auto& [name, engine] : {std::pair{"bf16", Engine::torch}, {"fp8", Engine::fused}}) {
    try {
      precision_named(name, engine);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), HasSubstr("--amp"));
    }
  }
}

/// The mean loss of the last ten of sixty steps of AdamW.
double loss_at_the_end(const Layer& start, Precision precision) {
  const LayerPtr model = fused_copy(start, precision);
  const OptimizerPtr optimizer = adamw(*model, {.lr = 3e-3});
  torch::manual_seed(77);
  double sum = 0;
  for (int i = 0; i < 60; ++i) {
    const Tensor x = torch::randn({64, 1, 14, 14});
    const Tensor y = (x.flatten(1).sum(1) > 0).to(torch::kLong);
    const Tensor loss = torch::cross_entropy_loss(model->forward(x), y);
    loss.backward();
    optimizer->step();
    optimizer->zero_grad();
    if (i >= 50) sum += loss.item<double>();
  }
  return sum / 10;
}

TEST(EngineBf16, learns_as_f32_does) {
  for (const char* name : {"deeper_cnn", "residual_cnn"}) {
    torch::manual_seed(13);
    const LayerPtr model = build_model(name, {.n_outputs = 2, .nfs = {8, 16, 24, 32}});
    const double f32 = loss_at_the_end(*model, Precision::f32);
    const double bf16 = loss_at_the_end(*model, Precision::bf16);
    EXPECT_LT(f32, 0.5) << name;  // where it starts: 0.7
    EXPECT_NEAR(bf16, f32, 0.1) << name;
  }
}

}  // namespace
}  // namespace fatwood
