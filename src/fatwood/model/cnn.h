// CNN and DeeperCNN: a chain of blocks that halves the image until one pixel is left, whose
// channels are the logits.
#pragma once

#include <vector>

#include <fatwood/model/conv.h>
#include <fatwood/model/sequential.h>

namespace fatwood {

struct CNNOptions {
  std::vector<std::int64_t> nfs = {8, 16, 32,
                                   64};  ///< features of the first block and after each further one
  std::int64_t n_outputs = 10;
  std::int64_t c_in = 1;            ///< channels of the images
  BlockFactory block = make<Conv>;  ///< make<ResidualConvBlock>, make<DoubleConvBlock>, your own
};

struct DeeperCNNOptions {
  std::vector<std::int64_t> nfs = {8, 16, 32, 64, 128};
  std::int64_t n_outputs = 10;
  std::int64_t c_in = 1;
  BlockFactory block = make<Conv>;
};

/// x (N, c_in, H, W) → logits (N, n_outputs): block(c_in → nfs[0], ks 5, stride 2), a block of
/// stride 2 for each neighbouring pair of nfs, and block(nfs.back() → n_outputs, act = false).
/// Throws Error{model} when the last block leaves more than one pixel, naming the shape.
class CNN : public Layer {
 public:
  using Options = CNNOptions;
  explicit CNN(const Options& options = {}) : CNN(options, /*first_stride=*/2) {}

  /// Builds and initialises by `init_leaky_weights`.
  static std::shared_ptr<CNN> kaiming(const Options& options = {});

  std::string kind() const override { return "CNN"; }
  std::vector<NamedLayer> layers() const override {
    return with_prefix("layers", layers_->layers());
  }
  LayerPtr remake() const override { return make<CNN>(options_); }

 protected:
  CNN(Options options, std::int64_t first_stride);
  Tensor compute(const Tensor& x) override;

  Options options_;

 private:
  std::shared_ptr<Sequential> layers_;
};

/// As CNN with a first block of stride 1, and so one layer more for the same images.
class DeeperCNN : public CNN {
 public:
  using Options = DeeperCNNOptions;
  explicit DeeperCNN(const Options& options = {});

  static std::shared_ptr<DeeperCNN> kaiming(const Options& options = {});

  std::string kind() const override { return "DeeperCNN"; }
  LayerPtr remake() const override;
};

}  // namespace fatwood
