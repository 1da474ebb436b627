#include <fatwood/core/error.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/init.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {

CNN::CNN(Options options, std::int64_t first_stride) : options_(std::move(options)) {
  const auto& nfs = options_.nfs;
  if (nfs.empty())
    throw Error(ErrorKind::model, "CNN", "nfs is empty, wanted one number of features or more");
  layers_ = register_module("layers", make<Sequential>({}));
  layers_->push_back(options_.block(
      {.c_in = options_.c_in, .c_out = nfs.front(), .stride = first_stride, .ks = 5}));
  for (std::size_t i = 0; i + 1 < nfs.size(); ++i) {
    layers_->push_back(options_.block({.c_in = nfs[i], .c_out = nfs[i + 1]}));
  }
  layers_->push_back(
      options_.block({.c_in = nfs.back(), .c_out = options_.n_outputs, .act = false}));
}

Tensor CNN::compute(const Tensor& x) {
  const Tensor y = layers_->forward(x);
  if (y.dim() != 4 || y.size(1) != options_.n_outputs || y.size(2) != 1 || y.size(3) != 1) {
    throw Error(ErrorKind::model, kind(),
                "input " + shape_text(x.sizes()) + " ends as " + shape_text(y.sizes()) +
                    ", wanted (" + std::to_string(x.size(0)) + ", " +
                    std::to_string(options_.n_outputs) +
                    ", 1, 1): each further entry of nfs halves the image once more");
  }
  return y.flatten(1);
}

std::shared_ptr<CNN> CNN::kaiming(const Options& options) {
  auto model = make<CNN>(options);
  init_leaky_weights(*model);
  return model;
}

DeeperCNN::DeeperCNN(const Options& options)
    : CNN({.nfs = options.nfs,
           .n_outputs = options.n_outputs,
           .c_in = options.c_in,
           .block = options.block},
          /*first_stride=*/1) {}

std::shared_ptr<DeeperCNN> DeeperCNN::kaiming(const Options& options) {
  auto model = make<DeeperCNN>(options);
  init_leaky_weights(*model);
  return model;
}

LayerPtr DeeperCNN::remake() const {
  return make<DeeperCNN>({.nfs = options_.nfs,
                          .n_outputs = options_.n_outputs,
                          .c_in = options_.c_in,
                          .block = options_.block});
}

}  // namespace fatwood
