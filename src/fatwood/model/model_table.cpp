#include <array>

#include <fatwood/core/error.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/model/resnet.h>

namespace fatwood {
namespace {

template <class Network>
LayerPtr build_cnn(const ModelOptions& options, BlockFactory block) {
  typename Network::Options network;
  network.n_outputs = options.n_outputs;
  network.c_in = options.c_in;
  network.block = std::move(block);
  if (!options.nfs.empty()) network.nfs = options.nfs;
  return Network::kaiming(network);
}

LayerPtr build_resnet18(const ModelOptions& options) {
  ResNetOptions network{.n_outputs = options.n_outputs, .c_in = options.c_in};
  if (!options.nfs.empty()) network.widths = options.nfs;
  return make<ResNet>(network);
}

constexpr std::array kTable{
    ModelEntry{"cnn", "five Conv layers of stride 2",
               [](const ModelOptions& o) { return build_cnn<CNN>(o, make<Conv>); }},
    ModelEntry{"deeper_cnn", "six Conv layers, the first of stride 1",
               [](const ModelOptions& o) { return build_cnn<DeeperCNN>(o, make<Conv>); }},
    ModelEntry{
        "residual_cnn", "deeper_cnn of residual blocks",
        [](const ModelOptions& o) { return build_cnn<DeeperCNN>(o, make<ResidualConvBlock>); }},
    ModelEntry{
        "double_conv_cnn", "residual_cnn without the identity paths",
        [](const ModelOptions& o) { return build_cnn<DeeperCNN>(o, make<DoubleConvBlock>); }},
    ModelEntry{"resnet18", "timm's resnet18", build_resnet18},
};

}  // namespace

std::span<const ModelEntry> model_table() {
  return kTable;
}

const ModelEntry& find_model(std::string_view name) {
  std::string known;
  for (const ModelEntry& entry : kTable) {
    if (entry.name == name) return entry;
    if (!known.empty()) known += ", ";
    known += entry.name;
  }
  throw Error(ErrorKind::usage, "model",
              "\"" + std::string(name) + "\" is unknown, wanted one of " + known);
}

LayerPtr build_model(std::string_view name, const ModelOptions& options) {
  return find_model(name).build(options);
}

}  // namespace fatwood
