#include <fatwood/data/fashion_mnist.h>
#include <fatwood/engine/engine.h>
#include <fatwood/io/checkpoint_file.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/recipes/job.h>
#include <fatwood/recipes/tuning_file.h>
#include <fatwood/train/image_batches.h>
#include <fatwood/train/weights.h>

namespace fatwood {

JobData load_data(const TrainRunOptions& options,
                  const std::function<void(std::string_view)>& say) {
  FashionMnistPlaces places = FashionMnistPlaces::from_environment();
  places.given = options.data;
  FashionMnist mnist = load_fashion_mnist(places, say);
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
}

Loaders make_loaders(const TrainRunOptions& options, const JobData& data) {
  const ImageBatchesOptions batches{.batch_size = options.batch_size,
                                    .shuffle = options.shuffle,
                                    .seed = options.seed,
                                    .normalize = data.normalize};
  ImageBatchesOptions in_order = batches;
  in_order.shuffle = false;
  return {image_batches(data.train, batches), image_batches(data.eval, in_order)};
}

LayerPtr make_model(const TrainRunOptions& options, const JobData& data) {
  const LayerPtr model = build_model(
      options.model,
      {.c_in = data.train->channels(), .n_outputs = data.classes(), .nfs = options.nfs});
  // A run that was killed before its first checkpoint starts where it started; behind it the file
  // is needed no more.
  const bool continues =
      options.resume &&
      (!options.resume_from.empty() || !list_checkpoints(options.output / "checkpoints").empty());
  if (options.initial_checkpoint && !continues) load_weights(*model, *options.initial_checkpoint);
  return model;
}

TuningPtr apply_engine(const TrainRunOptions& options, Layer& model,
                       const std::function<void(std::string_view)>& say) {
  const Engine engine = engine_named(options.engine);
  const kernels::Precision precision = precision_named(options.amp, engine);
  const kernels::Isa isa = kernels::default_isa();
  if (say && precision == kernels::Precision::bf16 && !kernels::multiplies_bf16(isa)) {
    say("--amp bf16 is emulated and slower than f32: found the instruction set " +
        std::string(kernels::name_of(isa)) + ", wanted avx512_bf16");
  }
  TuningPtr tuning = engine == Engine::fused ? load_tuning(options.tuning) : nullptr;
  use_engine(model, engine, isa, KernelChoice::table, precision, tuning);
  return tuning;
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
