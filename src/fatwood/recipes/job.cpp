#include <fatwood/core/error.h>
#include <fatwood/cuda/cuda.h>
#include <fatwood/data/download.h>
#include <fatwood/data/fashion_mnist.h>
#include <fatwood/engine/engine.h>
#include <fatwood/io/checkpoint_file.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/recipes/job.h>
#include <fatwood/recipes/tuning_file.h>
#include <fatwood/train/graphed_steps.h>
#include <fatwood/train/image_batches.h>
#include <fatwood/train/resident_images.h>
#include <fatwood/train/weights.h>

namespace fatwood {

std::optional<JobData> load_data(const TrainRunOptions& options,
                                 const std::function<void(std::string_view)>& say,
                                 const std::stop_token& stop) try {
  FashionMnistPlaces places = FashionMnistPlaces::from_environment();
  places.given = options.data;
  FashionMnist mnist = load_fashion_mnist(places, say, stop);
  JobData data;
  if (options.holdout > 0) {
    DatasetSplit parts = split(mnist.training, options.holdout, options.seed);
    data.train = std::make_shared<ImageDataset>(std::move(parts.training));
    data.eval = std::make_shared<ImageDataset>(std::move(parts.held_out));
  } else {
    data.train = std::make_shared<ImageDataset>(std::move(mnist.training));
    data.eval = std::make_shared<ImageDataset>(std::move(mnist.test));
  }
  data.normalize = pixel_statistics(*data.train);
  return data;
} catch (const DownloadStopped&) {
  return std::nullopt;
}

Loaders make_loaders(const TrainRunOptions& options, const JobData& data, torch::Device device) {
  const ImageBatchesOptions batches{.batch_size = options.batch_size,
                                    .shuffle = options.shuffle,
                                    .seed = options.seed,
                                    .normalize = data.normalize};
  ImageBatchesOptions in_order = batches;
  in_order.shuffle = false;
  if (device.is_cuda() && cuda::built()) {
    return {resident_images(*data.train, batches, device),
            resident_images(*data.eval, in_order, device)};
  }
  return {image_batches(data.train, batches), image_batches(data.eval, in_order)};
}

LayerPtr make_model(const TrainRunOptions& options, const JobData& data, torch::Device device) {
  const LayerPtr model = build_model(
      options.model,
      {.c_in = data.train->channels(), .n_outputs = data.classes(), .nfs = options.nfs});
  // A run that was killed before its first checkpoint starts where it started; behind it the file
  // is needed no more.
  const bool continues =
      options.resume &&
      (!options.resume_from.empty() || !list_checkpoints(options.output / "checkpoints").empty());
  if (options.initial_checkpoint && !continues) load_weights(*model, *options.initial_checkpoint);
  if (device.is_cuda()) {
    model->to(device);
    use_channels_last(*model);
  }
  return model;
}

TuningPtr apply_engine(const TrainRunOptions& options, Layer& model, torch::Device device,
                       const std::function<void(std::string_view)>& say) {
  const Engine engine = engine_named(options.engine);
  const kernels::Precision precision = precision_named(options.amp, engine);
  if (device.is_cuda()) {
    use_engine(model, Engine::torch);
    return nullptr;
  }
  const kernels::Isa isa = kernels::default_isa();
  if (say && precision == kernels::Precision::bf16 && !kernels::multiplies_bf16(isa)) {
    say("--amp bf16 is emulated and slower than f32: found the instruction set " +
        std::string(kernels::name_of(isa)) + ", wanted avx512_bf16");
  }
  TuningPtr tuning = engine == Engine::fused ? load_tuning(options.tuning) : nullptr;
  use_engine(model, engine, isa, KernelChoice::table, precision, tuning);
  return tuning;
}

void add_graphs(Callbacks& callbacks, const TrainRunOptions& options, torch::Device device,
                const std::function<void(std::string_view)>& say) {
  if (!device.is_cuda() || engine_named(options.engine) != Engine::fused) return;
  if (!cuda::built()) {
    if (options.amp == "bf16") {
      throw Error(ErrorKind::usage, "engine",
                  "--amp bf16 on a GPU: found a build without CUDA graphs, wanted one with them "
                  "(docs/setup.md), or --amp none");
    }
    if (say) {
      say("this build is without CUDA graphs, having found no headers of CUDA's runtime: "
          "LibTorch's "
          "operators run one by one");
    }
    return;
  }
  callbacks.push_back(std::make_shared<GraphedSteps>(
      GraphedStepsOptions{.bf16 = options.amp == "bf16", .say = say}));
}

OptimizerPtr make_optimizer(const TrainRunOptions& options, const Layer& model) {
  if (options.opt == "sgd") {
    return sgd(model, {.lr = options.lr,
                       .momentum = options.momentum,
                       .weight_decay = options.weight_decay,
                       .decay_all = options.decay_norms});
  }
  return adamw(
      model,
      {.lr = options.lr, .weight_decay = options.weight_decay, .decay_all = options.decay_norms});
}

}  // namespace fatwood
