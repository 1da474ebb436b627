// One contestant of bench/run.py: builds a network and trains it on one random batch, a number of
// steps at each line of its input. LibTorch alone ("bare": plain modules, channels-last, the fused
// AdamW operator), fatwood over LibTorch's operators ("torch"), fatwood's own kernels ("fused",
// "fused-direct" without Winograd's way, "fused-bf16").
//
//     bench_worker CONTESTANT NETWORK BATCH CHANNELS SIZE FEATURES      FEATURES: 8,16,32,64,128
//
// Prints "ready", then for "steps N", "evaluate N" and "gather N" the milliseconds of each, for
// "peak" the bytes that the process took above what it had before the network was built. A gather
// makes a batch of floats from 60,000 stored images of bytes.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>

#include <fatwood/core/allocator.h>
#include <fatwood/engine/engine.h>
#include <fatwood/kernels/gather.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/model/threads.h>
#include <fatwood/train/optimizer.h>

namespace fatwood {
namespace {

/// conv → leaky_relu → subtract → batch norm, as one writes it with torch::nn.
struct BareConvImpl : torch::nn::Module {
  BareConvImpl(std::int64_t in, std::int64_t out, std::int64_t ks, std::int64_t stride, bool act)
      : act_(act) {
    conv = register_module(
        "conv",
        torch::nn::Conv2d(
            torch::nn::Conv2dOptions(in, out, ks).stride(stride).padding(ks / 2).bias(false)));
    norm = register_module("norm", torch::nn::BatchNorm2d(out));
  }
  Tensor forward(Tensor x) {
    x = conv->forward(x);
    return norm->forward(act_ ? torch::leaky_relu(x, 0.1) - 0.4 : x);
  }
  torch::nn::Conv2d conv{nullptr};
  torch::nn::BatchNorm2d norm{nullptr};
  bool act_;
};
TORCH_MODULE(BareConv);

struct BareBlockImpl : torch::nn::Module {
  BareBlockImpl(bool residual, std::int64_t in, std::int64_t out, std::int64_t ks,
                std::int64_t stride, bool act)
      : stride_(stride), act_(act) {
    a = register_module("a", BareConv(in, out, ks, 1, act));
    b = register_module("b", BareConv(out, out, ks, stride, act && !residual));
    if (residual)
      id = register_module("id", torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 1)));
  }
  Tensor forward(const Tensor& x) {
    Tensor y = b->forward(a->forward(x));
    if (!id) return y;
    const Tensor sum = y + id->forward(stride_ == 2 ? torch::avg_pool2d(x, 2, 2, 0, true) : x);
    return act_ ? torch::leaky_relu(sum, 0.1) - 0.4 : sum;
  }
  BareConv a{nullptr}, b{nullptr};
  torch::nn::Conv2d id{nullptr};
  std::int64_t stride_;
  bool act_;
};
TORCH_MODULE(BareBlock);

torch::nn::Sequential bare_network(const std::string& name, std::int64_t channels,
                                   const std::vector<std::int64_t>& features) {
  torch::nn::Sequential network;
  if (name != "conv" && name != "residual" && name != "double")
    throw std::invalid_argument("bare: found " + name + ", wanted conv, residual or double");
  std::int64_t in = channels;
  for (std::size_t i = 0; i <= features.size(); ++i) {
    const bool last = i == features.size();
    const std::int64_t out = last ? 10 : features[i], ks = i == 0 ? 5 : 3, stride = i == 0 ? 1 : 2;
    if (name == "conv") {
      network->push_back(BareConv(in, out, ks, stride, !last));
    } else {
      network->push_back(BareBlock(name == "residual", in, out, ks, stride, !last));
    }
    in = out;
  }
  return network;
}

double now_ms() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// A figure of /proc/self/status, in bytes.
std::int64_t status_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key;) {
    std::int64_t kibibytes = 0;
    if (key == name + ":" && status >> kibibytes) return kibibytes * 1024;
    std::getline(status, key);
  }
  return 0;
}

/// Batches of random images of a data set, as `train` makes them.
class Gather {
 public:
  Gather(std::int64_t batch, std::int64_t channels, std::int64_t size)
      : bytes_(torch::randint(256, {60'000, channels, size, size}, torch::kByte)),
        order_(torch::randperm(bytes_.size(0))),
        images_{bytes_.data_ptr<std::uint8_t>(), bytes_.size(0), static_cast<int>(channels),
                static_cast<int>(size), static_cast<int>(size)},
        batch_(batch),
        out_(torch::empty({batch, channels, size, size})) {}

  void operator()() {
    if (at_ + batch_ > order_.size(0)) at_ = 0;
    const std::span<const std::int64_t> indices(order_.data_ptr<std::int64_t>() + at_,
                                                static_cast<std::size_t>(batch_));
    kernels::gather(images_, indices, {&scaling_, 1}, kernels::ImageLayout::nhwc,
                    out_.data_ptr<float>(), torch_threads());
    at_ += batch_;
  }

 private:
  Tensor bytes_, order_;
  kernels::ByteImages images_;
  kernels::ByteScaling scaling_{.scale = 1 / (255 * 0.353F), .shift = -0.286F / 0.353F};
  std::int64_t batch_, at_ = 0;
  Tensor out_;
};

int run(const std::string& contestant, const std::string& name, std::int64_t batch,
        std::int64_t channels, std::int64_t size, const std::string& feature_list) {
  std::vector<std::int64_t> features;
  std::istringstream list(feature_list);
  for (std::string feature; std::getline(list, feature, ',');)
    features.push_back(std::stoll(feature));
  if (contestant != "bare") keep_freed_memory();
  torch::manual_seed(0);
  const bool fused = contestant.starts_with("fused");
  const auto layout = fused ? torch::MemoryFormat::Contiguous : torch::MemoryFormat::ChannelsLast;
  Tensor x = torch::randn({batch, channels, size, size});
  if (!fused) {
    // With one channel contiguous() would keep strides that lead to the slower way.
    x = torch::empty_strided(x.sizes(), {channels * size * size, 1, size * channels, channels})
            .copy_(x);
  }
  const Tensor y = torch::randint(10, {batch});
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak starts from here
  const std::int64_t before = status_bytes("VmRSS");

  std::shared_ptr<torch::nn::Module> module;
  std::function<Tensor()> forward;
  if (contestant == "bare") {
    auto network = bare_network(name, channels, features);
    module = network.ptr();
    forward = [network, x]() mutable { return network->forward(x).flatten(1); };
  } else {
    const std::map<std::string, std::string> names{{"conv", "deeper_cnn"},
                                                   {"residual", "residual_cnn"},
                                                   {"double", "double_conv_cnn"},
                                                   {"resnet18", "resnet18"}};
    const LayerPtr model = build_model(
        names.at(name),
        {.c_in = channels, .nfs = name == "resnet18" ? std::vector<std::int64_t>{} : features});
    use_engine(
        *model, fused ? Engine::fused : engine_named(contestant), kernels::default_isa(),
        KernelChoice::table,
        contestant == "fused-bf16" ? kernels::Precision::bf16 : kernels::Precision::f32, nullptr,
        contestant == "fused-direct" ? kernels::WinogradUse::off : kernels::WinogradUse::gradients);
    module = model;
    forward = [model, x] { return model->forward(x); };
  }
  if (layout == torch::MemoryFormat::ChannelsLast) {
    const torch::NoGradGuard no_grad;
    for (Tensor& parameter : module->parameters()) {
      if (parameter.dim() == 4) parameter.set_data(parameter.contiguous(layout));
    }
  }
  const OptimizerPtr optimizer = adamw(*module, {.lr = 1e-3});
  const auto step = [&] {
    torch::cross_entropy_loss(forward(), y).backward();
    optimizer->step();
    optimizer->zero_grad();
  };
  const auto evaluate = [&] {
    const torch::NoGradGuard no_grad;
    forward();
  };

  std::optional<Gather> gather;
  std::cout << "ready " << TORCH_VERSION << std::endl;
  std::string command;
  while (std::cin >> command) {
    if (command == "peak") {
      std::cout << status_bytes("VmHWM") - before << std::endl;
      continue;
    }
    int count = 0;
    std::cin >> count;
    module->train(command == "steps");
    if (command == "gather" && !gather) gather.emplace(batch, channels, size);
    for (int i = 0; i < count; ++i) {
      const double begin = now_ms();
      command == "steps" ? step() : command == "gather" ? (*gather)() : evaluate();
      std::cout << now_ms() - begin << ' ';
    }
    std::cout << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace fatwood

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: bench_worker CONTESTANT NETWORK BATCH CHANNELS SIZE FEATURES\n");
    return 2;
  }
  try {
    return fatwood::run(argv[1], argv[2], std::stoll(argv[3]), std::stoll(argv[4]),
                        std::stoll(argv[5]), argv[6]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_worker: %s\n", error.what());
    return 2;
  }
}
