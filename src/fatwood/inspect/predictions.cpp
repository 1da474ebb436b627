#include <algorithm>
#include <cmath>
#include <numeric>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/inspect/predictions.h>
#include <fatwood/io/base64.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/image_batches.h>
#include <fatwood/train/learner.h>
#include <fatwood/train/transforms.h>

namespace fatwood {
namespace {

// Of predictions that checkpoints hold: what a file says decides how large the confusion matrix is.
constexpr std::int64_t kMostClassesKept = 4096;

Predictions predictions_of_batch(const Tensor& logits, const Tensor& targets) {
  if (logits.dim() != 2 || targets.dim() != 1 || targets.size(0) != logits.size(0) ||
      !at::isIntegralType(targets.scalar_type(), /*includeBool=*/false)) {
    throw Error(ErrorKind::usage, "KeepPredictions",
                "predictions " + shape_text(logits.sizes()) + " and targets " +
                    shape_text(targets.sizes()) + ", wanted (N, classes) and (N) class indices");
  }
  const torch::NoGradGuard no_grad;
  const Tensor log_probability = logits.detach().to(torch::kCPU, torch::kDouble).log_softmax(1);
  Predictions batch;
  batch.label = targets.to(torch::kCPU, torch::kLong, /*non_blocking=*/false, /*copy=*/true);
  const auto [best, predicted] = log_probability.max(1);
  batch.predicted = predicted;
  batch.probability = best.exp();
  batch.loss = -log_probability.gather(1, batch.label.unsqueeze(1)).squeeze(1);
  batch.classes = logits.size(1);
  return batch;
}

Predictions joined(const std::vector<Predictions>& batches, const Run& run) {
  const auto all = [&batches](Tensor Predictions::*member) {
    std::vector<Tensor> parts;
    for (const Predictions& batch : batches) parts.push_back(batch.*member);
    return torch::cat(parts);
  };
  return {.label = all(&Predictions::label),
          .predicted = all(&Predictions::predicted),
          .probability = all(&Predictions::probability),
          .loss = all(&Predictions::loss),
          .classes = batches.front().classes,
          .epoch = run.epoch,
          .step = run.step};
}

// Positions by loss, `sign` 1 for the smallest first.
std::vector<std::int64_t> by_loss(const Tensor& loss, std::int64_t count, double sign) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(loss.defined() ? loss.size(0) : 0));
  std::iota(order.begin(), order.end(), 0);
  const auto kept = std::min<std::size_t>(
      order.size(), static_cast<std::size_t>(std::max<std::int64_t>(count, 0)));
  if (kept == 0) return {};
  const double* losses = loss.const_data_ptr<double>();
  const auto key = [losses, sign](std::int64_t i) {
    return sign * (std::isnan(losses[i]) ? INFINITY : losses[i]);
  };
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(kept);
  std::partial_sort(order.begin(), end, order.end(), [&key](std::int64_t a, std::int64_t b) {
    return key(a) != key(b) ? key(a) < key(b) : a < b;
  });
  order.resize(kept);
  return order;
}

nlohmann::json sample_json(const Predictions& predictions, const ImageDataset& dataset,
                           std::int64_t index) {
  const ByteView pixels = dataset.image(index);
  return {{"index", index},
          {"label", predictions.label[index].item<std::int64_t>()},
          {"predicted", predictions.predicted[index].item<std::int64_t>()},
          {"probability", predictions.probability[index].item<double>()},
          {"loss", predictions.loss[index].item<double>()},
          {"shape", {dataset.channels(), dataset.height(), dataset.width()}},
          {"pixels", base64({pixels.begin(), pixels.end()})}};
}

}  // namespace

Tensor Predictions::confusion() const {
  if (size() == 0) return torch::zeros({classes, classes}, torch::kLong);
  return torch::bincount(label * classes + predicted, /*weights=*/{}, classes * classes)
      .reshape({classes, classes});
}

std::vector<std::int64_t> Predictions::worst(std::int64_t count) const {
  return by_loss(loss, count, -1);
}

std::vector<std::int64_t> Predictions::best(std::int64_t count) const {
  return by_loss(loss, count, 1);
}

void KeepPredictions::before_epoch(Run&) {
  batches_.clear();
}

void KeepPredictions::after_batch(Run& run) {
  if (!run.training()) batches_.push_back(predictions_of_batch(run.predictions, run.batch.y));
}

void KeepPredictions::after_epoch(Run& run) {
  if (run.training() || batches_.empty()) return;
  last_ = joined(batches_, run);
  batches_.clear();
}

NamedTensors KeepPredictions::tensor_state() const {
  if (!last_ || last_->classes > kMostClassesKept) return {};
  return {{"label", last_->label},
          {"predicted", last_->predicted},
          {"probability", last_->probability},
          {"loss", last_->loss},
          {"place", torch::tensor({last_->classes, last_->epoch, last_->step}, torch::kLong)}};
}

void KeepPredictions::load_tensor_state(const NamedTensors& state) {
  last_.reset();
  if (state.empty()) return;
  const auto refuse = [](const std::string& what) {
    throw Error(ErrorKind::data, "load_predictions", what);
  };
  const auto find = [&](const std::string& key, torch::ScalarType type, std::int64_t size) {
    for (const auto& [name, value] : state) {
      if (name != key) continue;
      if (value.scalar_type() != type || value.dim() != 1 || (size >= 0 && value.size(0) != size))
        refuse(key + " of shape " + shape_text(value.sizes()) + " and type " +
               c10::toString(value.scalar_type()) + ", wanted " +
               (size >= 0 ? "(" + std::to_string(size) + ")" : "one dimension") + " of " +
               c10::toString(type));
      return value.clone();
    }
    refuse(key + " is missing");
    return Tensor();
  };
  const Tensor place = find("place", torch::kLong, 3);
  const auto classes = place[0].item<std::int64_t>();
  if (classes < 1 || classes > kMostClassesKept)
    refuse(std::to_string(classes) + " classes, wanted 1 to " + std::to_string(kMostClassesKept));
  const Tensor label = find("label", torch::kLong, -1);
  const std::int64_t size = label.size(0);
  const Tensor predicted = find("predicted", torch::kLong, size);
  for (const Tensor& indices : {label, predicted}) {
    if (indices.lt(0).logical_or(indices.ge(classes)).any().item<bool>())
      refuse("a class index outside 0 to " + std::to_string(classes - 1));
  }
  last_ = Predictions{.label = label,
                      .predicted = predicted,
                      .probability = find("probability", torch::kDouble, size),
                      .loss = find("loss", torch::kDouble, size),
                      .classes = classes,
                      .epoch = place[1].item<std::int64_t>(),
                      .step = place[2].item<std::int64_t>()};
}

Predictions predictions_of(const LayerPtr& model, std::shared_ptr<const ImageDataset> dataset,
                           const PredictionsOptions& options) {
  const BatchSourcePtr batches = image_batches(
      std::move(dataset),
      {.batch_size = options.batch_size, .shuffle = false, .normalize = options.normalize});
  const auto keep = std::make_shared<KeepPredictions>();
  Learner learner({.model = model,
                   .loaders = {batches, batches},
                   .callbacks = {std::make_shared<DevicePlacement>(), keep},
                   .device = options.device});
  learner.evaluate();
  const std::optional<Predictions>& last = keep->last();
  if (!last)
    throw Error(ErrorKind::internal, "predictions_of", "an evaluation left no predictions");
  return *last;
}

nlohmann::json to_json(const Predictions& predictions, const ImageDataset& dataset,
                       std::int64_t samples) {
  const std::int64_t size = predictions.size();
  const auto fail = [](const std::string& what) {
    throw Error(ErrorKind::usage, "predictions", what);
  };
  if (size != dataset.size()) {
    fail(std::to_string(size) + " predictions, wanted one for each of the " +
         std::to_string(dataset.size()) + " images of " + dataset.name());
  }
  const std::int64_t* labels = predictions.label.const_data_ptr<std::int64_t>();
  if (!std::equal(dataset.labels().begin(), dataset.labels().end(), labels))
    fail("labels in another order than those of " + dataset.name() + ", wanted its own order");

  nlohmann::json json{{"classes", dataset.classes()},
                      {"epoch", predictions.epoch},
                      {"step", predictions.step},
                      {"samples", size},
                      {"confusion", nlohmann::json::array()},
                      {"worst", nlohmann::json::array()},
                      {"best", nlohmann::json::array()}};
  const Tensor confusion = predictions.confusion();
  const std::int64_t* count = confusion.const_data_ptr<std::int64_t>();
  for (std::int64_t row = 0; row < predictions.classes; ++row, count += predictions.classes)
    json["confusion"].push_back(std::vector<std::int64_t>(count, count + predictions.classes));
  for (const std::int64_t index : predictions.worst(samples))
    json["worst"].push_back(sample_json(predictions, dataset, index));
  for (const std::int64_t index : predictions.best(samples))
    json["best"].push_back(sample_json(predictions, dataset, index));
  return json;
}

}  // namespace fatwood
