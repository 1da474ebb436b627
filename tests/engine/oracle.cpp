// The fused engine against LibTorch in double precision, held to LibTorch's own single-precision
// error: one step from equal state may differ by 4 times the error of the worse memory layout and a
// millionth of the tensor's largest entry, for outputs, every gradient and the running statistics.
#include <cmath>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include <fatwood/engine/engine.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/conv.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/model/resnet.h>
#include <fatwood/model/sequential.h>

#include "corners.h"

namespace fatwood {
namespace {

constexpr double kClearance = 2e-6;

LayerPtr copy_of(const Layer& model) {
  return std::static_pointer_cast<Layer>(model.clone());
}

using Results = std::map<std::string, Tensor>;

/// One forward and backward pass: everything that it leaves behind.
Results one_step(Layer& model, Tensor x, const Tensor& weights) {
  x = x.detach().requires_grad_();
  const Tensor out = model.forward(x);
  if (model.is_training()) (out * weights.to(out.dtype())).sum().backward();
  Results results{{"output", out.detach()}};
  if (x.grad().defined()) results["input gradient"] = x.grad();
  for (const auto& p : model.named_parameters()) {
    if (p->grad().defined()) results["gradient of " + p.key()] = p->grad();
  }
  for (const auto& b : model.named_buffers()) {
    if (b.key().find("running_") != std::string::npos) results[b.key()] = b->clone();
  }
  return results;
}

Results channels_last_step(const Layer& model, const Tensor& x, const Tensor& weights) {
  const LayerPtr copy = copy_of(model);
  for (Tensor& parameter : copy->parameters()) {
    if (parameter.dim() == 4)
      parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
  }
  return one_step(*copy, x.contiguous(at::MemoryFormat::ChannelsLast), weights);
}

double error(const Tensor& found, const Tensor& exact) {
  const double e = (found.to(torch::kDouble) - exact).abs().max().item<double>();
  return std::isnan(e) ? INFINITY : e;
}

std::vector<kernels::Isa> isas_here() {
  std::vector<kernels::Isa> found;
  for (const kernels::IsaInfo& isa : kernels::isas()) {
    if (kernels::runs_here(isa.isa)) found.push_back(isa.isa);
  }
  return found;
}

/// An input whose values keep clear of corners, and the output's weights in the loss.
std::pair<Tensor, Tensor> draw_input(const Layer& in_double,
                                     const std::vector<std::int64_t>& shape) {
  for (int draw = 0; draw < 60; ++draw) {
    const Tensor x = torch::randn(shape);
    const CornerWatch watch;
    const torch::NoGradGuard no_grad;
    const Tensor out = copy_of(in_double)->forward(x.to(torch::kDouble));
    if (watch.clearance() >= kClearance) return {x, torch::randn(out.sizes())};
  }
  throw std::runtime_error("no input keeps clear of the corners");
}

struct Errors {
  double largest = 0;        ///< exact entry
  double torch = 0;          ///< of the worse layout
  std::vector<double> ours;  ///< by instruction set
  std::vector<std::int64_t> shape;
};

/// The errors' maxima over `draws` inputs: where a gradient is one number, a single draw of
/// LibTorch's rounding says little.
void expect_within_torchs_error(const Layer& model, const std::vector<std::int64_t>& shape,
                                int draws) {
  const std::vector<kernels::Isa> isas = isas_here();
  std::map<std::string, Errors> errors;
  for (int draw = 0; draw < draws; ++draw) {
    const LayerPtr in_double = copy_of(model);
    in_double->to(torch::kDouble);
    const auto [x, weights] = draw_input(*in_double, shape);
    const Results exact = one_step(*in_double, x.to(torch::kDouble), weights);
    const Results rows = one_step(*copy_of(model), x, weights);
    const Results last = channels_last_step(model, x, weights);
    for (const auto& [name, wanted] : exact) {
      Errors& e = errors[name];
      e.shape = wanted.sizes().vec();
      e.ours.resize(isas.size());
      e.largest = std::max(e.largest, wanted.abs().max().item<double>());
      e.torch = std::max({e.torch, error(rows.at(name), wanted), error(last.at(name), wanted)});
    }
    for (std::size_t i = 0; i < isas.size(); ++i) {
      const LayerPtr fused = copy_of(model);
      use_engine(*fused, Engine::fused, isas[i], KernelChoice::always);
      const Results found = one_step(*fused, x, weights);
      ASSERT_EQ(found.size(), exact.size());
      for (const auto& [name, wanted] : exact) {
        double& ours = errors[name].ours[i];
        ours = std::max(ours, error(found.at(name), wanted));
      }
    }
  }
  for (const auto& [name, e] : errors) {
    for (std::size_t i = 0; i < isas.size(); ++i) {
      EXPECT_LE(e.ours[i], 4 * e.torch + 1e-6 * e.largest)
          << name << " " << at::IntArrayRef(e.shape) << " on " << kernels::name_of(isas[i])
          << ", torch's error " << e.torch << ", largest entry " << e.largest;
    }
  }
}

/// Random parameters: norms away from 1 and 0, running statistics likewise.
void randomise(Layer& model) {
  const torch::NoGradGuard no_grad;
  model.apply([](torch::nn::Module& part) {
    auto* norm = part.as<torch::nn::BatchNorm2dImpl>();
    if (!norm) return;
    norm->weight.uniform_(0.5, 1.5);
    norm->bias.normal_(0, 0.5);
    norm->running_mean.normal_(0, 0.2);
    norm->running_var.uniform_(0.5, 1.5);
  });
}

class Source {
 public:
  explicit Source(unsigned seed) : random_(seed) {}
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  int pick(std::initializer_list<int> from) {
    return *(from.begin() + below(static_cast<int>(from.size())));
  }

 private:
  std::mt19937 random_;
};

TEST(EngineOracle, single_layers_of_all_sizes_stay_within_torchs_own_error) {
  Source random(31);
  torch::manual_seed(31);
  for (int trial = 0; trial < 60; ++trial) {
    const bool large_batch = trial % 12 == 0;
    const int height = 1 + random.below(large_batch ? 5 : 33);
    const int width = 1 + random.below(large_batch ? 5 : 33);
    int batch = large_batch ? 511 : 1 + random.below(17);
    ConvOptions options;
    options.c_in = random.pick({1, 2, 3, 7, 8, 9, 16, 17, 33, 64, 130});
    options.c_out = random.pick({1, 2, 8, 9, 10, 16, 24, 31, 48, 64, 130});
    if (large_batch) options.c_in = options.c_out = random.pick({3, 9, 16});
    options.ks = random.pick({1, 3, 3, 3, 5, 7});
    options.stride = 1 + random.below(2);
    options.act = random.below(3) > 0;
    options.relu = random.below(2) ? GeneralReLUOptions{} : GeneralReLUOptions{0, 0};
    const int kind = random.below(4);
    const double work = 1.0 * height * width *
                        static_cast<double>(options.ks * options.ks * options.c_in * options.c_out);
    // More values than this would not keep clear of every corner.
    const double values = 1.0 * height * width * static_cast<double>(options.c_out);
    batch = std::min(batch, static_cast<int>(std::min(1e8 / work, 2e5 / values)));
    if (batch < 1) continue;
    // A norm over a handful of values is dominated by its own rounding.
    options.norm = batch * ((height + 1) / 2) * ((width + 1) / 2) >= 16 && random.below(4) > 0;
    if (kind == 3 && batch * ((height + 1) / 2) * ((width + 1) / 2) < 16) continue;
    const LayerPtr layer =
        kind == 0   ? LayerPtr(make<Conv>(options))
        : kind == 1 ? LayerPtr(make<ResidualConvBlock>(options))
        : kind == 2
            ? LayerPtr(make<DoubleConvBlock>(options))
            : LayerPtr(make<BasicBlock>(
                  {.c_in = options.c_in, .c_out = options.c_out, .stride = options.stride}));
    SCOPED_TRACE(testing::Message() << "trial " << trial << ": " << layer->description() << ", "
                                    << batch << " of " << height << "x" << width);
    const LayerPtr model = make<Sequential>({layer});
    randomise(*model);
    model->train(trial % 4 != 3);
    expect_within_torchs_error(*model, {batch, options.c_in, height, width}, 3);
  }
}

// Without activations there are no corners to keep clear of, so that batches can be large: those of
// Winograd's sizes too.
TEST(EngineOracle, large_batches_stay_within_torchs_own_error) {
  Source random(47);
  torch::manual_seed(47);
  for (const auto& [c_in, c_out, size] :
       {std::tuple{1, 8, 28}, {8, 16, 14}, {16, 9, 13}, {32, 64, 7}, {9, 24, 8}, {130, 10, 3}}) {
    const std::int64_t stride = 1 + random.below(2);
    for (const bool residual : {false, true}) {
      ConvOptions options{.c_in = c_in, .c_out = c_out, .stride = stride, .act = false};
      const LayerPtr layer =
          residual ? LayerPtr(make<ResidualConvBlock>(options)) : LayerPtr(make<Conv>(options));
      SCOPED_TRACE(testing::Message() << layer->description() << ", " << size << "x" << size);
      const LayerPtr model = make<Sequential>({layer});
      randomise(*model);
      model->train();
      expect_within_torchs_error(*model, {511, c_in, size, size + 1}, 1);
    }
  }
}

LayerPtr random_layer(Source& random, std::int64_t c_in, std::int64_t c_out, bool corners = true) {
  ConvOptions options;
  options.c_in = c_in;
  options.c_out = c_out;
  options.ks = random.pick({1, 3, 3, 5});
  options.stride = 1 + random.below(2);
  options.norm = random.below(4) > 0;
  options.act = random.below(4) > 0 && corners;
  switch (random.below(corners ? 5 : 3)) {
    case 0:
      return make<Conv>(options);
    case 1:
      return make<ResidualConvBlock>(options);
    case 2:
      return make<DoubleConvBlock>(options);
    case 3:
      return make<BasicBlock>({.c_in = c_in, .c_out = c_out, .stride = options.stride});
    default:
      // No kernels of its own: it parts the stretch.
      options.stride = 1;
      options.c_in = options.c_out;
      return make<Sequential>({make<Conv>({.c_in = c_in, .c_out = c_out, .stride = 1}),
                               make<GeneralReLU>({}), make<ResidualBlock>(make<Conv>(options))});
  }
}

TEST(EngineOracle, random_compositions_stay_within_torchs_own_error) {
  for (unsigned trial = 0; trial < 40; ++trial) {
    Source random(500 + trial);
    torch::manual_seed(500 + trial);
    std::int64_t channels = 1 + random.below(12);
    const std::vector<std::int64_t> shape = {6 + random.below(12), channels, 5 + random.below(9),
                                             5 + random.below(9)};
    std::vector<LayerPtr> layers;
    for (unsigned i = 0; i < 1 + trial % 4; ++i) {
      const std::int64_t c_out = random.below(3) ? 1 + random.below(24) : channels;
      layers.push_back(random_layer(random, channels, c_out));
      channels = c_out;
    }
    if (trial % 3 == 0) layers.push_back(make<Head>(torch::nn::Linear(channels, 10)));
    const LayerPtr model = make<Sequential>(layers);
    randomise(*model);
    model->train(trial % 5 != 4);
    std::string text;
    for (const LayerPtr& layer : layers) text += " " + layer->description();
    SCOPED_TRACE("trial " + std::to_string(trial) + ":" + text);
    expect_within_torchs_error(*model, shape, 3);
  }
}

TEST(EngineOracle, random_compositions_of_many_channels_stay_within_torchs_own_error) {
  for (unsigned trial = 0; trial < 12; ++trial) {
    Source random(700 + trial);
    torch::manual_seed(700 + trial);
    std::int64_t channels = random.pick({1, 3, 17, 64, 130});
    const std::vector<std::int64_t> shape = {2 + random.below(16), channels, 1 + random.below(33),
                                             1 + random.below(33)};
    std::vector<LayerPtr> layers;
    std::string text;
    for (unsigned i = 0; i < 1 + trial % 3; ++i) {
      const std::int64_t c_out = random.pick({2, 9, 33, 64, 130});
      layers.push_back(random_layer(random, channels, c_out, /*corners=*/false));
      text += " " + layers.back()->description();
      channels = c_out;
    }
    const LayerPtr model = make<Sequential>(layers);
    randomise(*model);
    // A norm over a handful of values is dominated by its own rounding.
    model->train(shape[0] * ((shape[2] + 7) / 8) * ((shape[3] + 7) / 8) >= 16);
    SCOPED_TRACE(testing::Message() << "trial " << trial << ":" << text << ", " << shape);
    expect_within_torchs_error(*model, shape, 3);
  }
}

TEST(EngineOracle, every_network_of_the_table_stays_within_torchs_own_error) {
  for (const ModelEntry& entry : model_table()) {
    for (bool training : {true, false}) {
      SCOPED_TRACE(std::string(entry.name) + (training ? ", training" : ", evaluation"));
      torch::manual_seed(4);
      const LayerPtr model = entry.build({});
      randomise(*model);
      model->train(training);
      for (const PlanRow& row : describe_plan(*model)) {
        EXPECT_TRUE(row.fused) << row.name << ": " << row.reason;
      }
      expect_within_torchs_error(*model, {5, 1, 28, 28}, 1);
    }
  }
}

}  // namespace
}  // namespace fatwood
