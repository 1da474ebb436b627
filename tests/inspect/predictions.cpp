#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/inspect/predictions.h>
#include <fatwood/io/base64.h>
#include <fatwood/model/cnn.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/image_batches.h>
#include <fatwood/train/learner.h>
#include <fatwood/train/metrics.h>
#include <fatwood/train/transforms.h>

#include "support/thrown.h"

namespace fatwood {
namespace {

using testing::ElementsAre;

// Colour pictures of four classes, 8 × 8: class k is bright in channel k, class 3 in none.
std::shared_ptr<const ImageDataset> colours(std::int64_t count, std::int64_t channels = 3) {
  torch::manual_seed(3);
  ImageDatasetParts parts{.name = "Colours",
                          .classes = {"red", "green", "blue", "dark"},
                          .channels = channels,
                          .height = 8,
                          .width = 8,
                          .pixels = {},
                          .labels = {}};
  const Tensor noise = torch::randint(0, 120, {count, channels, 8, 8}, torch::kByte);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<std::uint8_t>((7 * i / 3) % 4);
    Tensor image = noise[i];
    if (label < channels) image[label].add_(90);
    const auto* bytes = image.data_ptr<std::uint8_t>();
    parts.pixels.insert(parts.pixels.end(), bytes, bytes + channels * 64);
    parts.labels.push_back(label);
  }
  return std::make_shared<ImageDataset>(std::move(parts));
}

LayerPtr network(std::int64_t channels = 3) {
  torch::manual_seed(4);
  return CNN::kaiming({.nfs = {4, 8}, .n_outputs = 4, .c_in = channels});
}

Predictions by_hand() {
  return {.label = torch::tensor({0, 1, 1, 2, 0}, torch::kLong),
          .predicted = torch::tensor({0, 2, 1, 2, 1}, torch::kLong),
          .probability = torch::tensor({0.9, 0.8, 0.7, 0.9, 0.6}, torch::kDouble),
          .loss = torch::tensor({0.1, 2.0, 0.3, 0.1, 2.0}, torch::kDouble),
          .classes = 3};
}

TEST(Predictions, count_confusions_by_true_and_predicted_class) {
  EXPECT_TRUE(torch::equal(by_hand().confusion(),
                           torch::tensor({{1, 1, 0}, {0, 1, 1}, {0, 0, 1}}, torch::kLong)));
  EXPECT_EQ(Predictions{.classes = 2}.confusion().sum().item<int>(), 0);
}

TEST(Predictions, order_samples_by_loss_and_equal_ones_by_position) {
  Predictions predictions = by_hand();
  EXPECT_THAT(predictions.worst(3), ElementsAre(1, 4, 2));
  EXPECT_THAT(predictions.best(3), ElementsAre(0, 3, 2));
  EXPECT_EQ(predictions.best(99).size(), 5u);
  EXPECT_TRUE(predictions.worst(0).empty());
  predictions.loss[2] = NAN;
  EXPECT_THAT(predictions.worst(2), ElementsAre(2, 1));
  EXPECT_THAT(predictions.best(5), ElementsAre(0, 3, 1, 4, 2));
}

TEST(Predictions, of_a_checkpoint_are_taken_whole_or_refused) {
  const auto state = [](const std::string& key, const Tensor& other) {
    const Predictions kept = by_hand();
    NamedTensors all{{"label", kept.label},
                     {"predicted", kept.predicted},
                     {"probability", kept.probability},
                     {"loss", kept.loss},
                     {"place", torch::tensor({3, 2, 10}, torch::kLong)}};
    for (auto& [name, value] : all) {
      if (name == key) value = other;
    }
    return all;
  };
  KeepPredictions keep;
  keep.load_tensor_state(state("", {}));
  EXPECT_EQ(keep.last()->step, 10);
  const auto refused = [&](const std::string& key, const Tensor& other, const std::string& words) {
    EXPECT_THAT(thrown_by([&] { keep.load_tensor_state(state(key, other)); }),
                error_with(ErrorKind::data, words));
    EXPECT_FALSE(keep.last());
  };
  refused("label", torch::zeros({5}, torch::kInt), "label of shape");
  refused("predicted", torch::zeros({4}, torch::kLong), "wanted (5) of Long");
  refused("predicted", torch::full({5}, 3, torch::kLong), "outside 0 to 2");
  refused("label", torch::full({5}, -1, torch::kLong), "outside 0 to 2");
  refused("probability", torch::zeros({5}), "wanted (5) of Double");
  refused("loss", torch::zeros({5, 1}, torch::kDouble), "loss of shape");
  refused("place", torch::zeros({2}, torch::kLong), "place of shape");
  for (const std::int64_t classes : {std::int64_t{0}, std::int64_t{30'000}, std::int64_t{1} << 32})
    refused("place", torch::tensor({classes, std::int64_t{2}, std::int64_t{10}}),
            "classes, wanted 1 to");
  NamedTensors fewer = state("", {});
  fewer.pop_back();
  EXPECT_THAT(thrown_by([&] { keep.load_tensor_state(fewer); }),
              error_with(ErrorKind::data, "place is missing"));
}

TEST(Predictions, of_a_pass_are_the_softmax_of_the_models_logits) {
  const auto dataset = colours(50);
  const LayerPtr model = network();
  const PixelStatistics pixels = pixel_statistics(*dataset);
  model->train();
  const Predictions found = predictions_of(model, dataset, {.batch_size = 16, .normalize = pixels});
  EXPECT_TRUE(model->is_training());

  model->eval();
  const torch::NoGradGuard no_grad;
  const Batch all =
      image_batches(dataset, {.batch_size = 50, .shuffle = false, .normalize = pixels})->get(0, 0);
  const Tensor logits = model->forward(all.x);
  const Tensor losses = torch::cross_entropy_loss(logits, all.y, {}, at::Reduction::None);
  EXPECT_TRUE(torch::allclose(found.loss, losses.to(torch::kDouble), 1e-5, 1e-5));
  EXPECT_TRUE(torch::equal(found.predicted, logits.argmax(1)));
  EXPECT_TRUE(
      torch::allclose(found.probability, logits.softmax(1).amax(1).to(torch::kDouble), 1e-5, 1e-6));
  EXPECT_TRUE(torch::equal(found.label, all.y));
  EXPECT_EQ(found.classes, 4);
}

Learner learner_of(const std::shared_ptr<const ImageDataset>& dataset, Callbacks callbacks) {
  const PixelStatistics pixels = pixel_statistics(*dataset);
  return Learner(
      {.model = network(),
       .loaders = {image_batches(dataset, {.batch_size = 16, .normalize = pixels}),
                   image_batches(dataset,
                                 {.batch_size = 16, .shuffle = false, .normalize = pixels})},
       .callbacks = std::move(callbacks)});
}

TEST(KeepPredictions, holds_the_pass_whose_accuracy_the_metrics_give) {
  const auto keep = std::make_shared<KeepPredictions>();
  Learner learner = learner_of(colours(60), {keep, Metrics::usual(4)});
  learner.fit(2);
  ASSERT_TRUE(keep->last());
  EXPECT_EQ(keep->last()->epoch, 1);
  EXPECT_EQ(keep->last()->step, 8);
  const Tensor confusion = keep->last()->confusion().to(torch::kDouble);
  const double macro = (confusion.diag() / confusion.sum(1)).mean().item<double>();
  EXPECT_NEAR(macro, learner.run().epoch_metrics.at(0).second, 1e-12);
  EXPECT_NEAR(keep->last()->loss.mean().item<double>(), learner.run().epoch_metrics.at(1).second,
              1e-6);
}

struct CutInEvaluation : Callback {
  explicit CutInEvaluation(std::int64_t at) : epoch(at) {}
  std::string name() const override { return "cut"; }
  Stage stage() const override { return Stage::control; }
  void after_batch(Run& run) override {
    if (!run.training() && run.epoch == epoch && run.batch_index == 1)
      run.cancel(Scope::fit, "enough");
  }
  std::int64_t epoch;
};

TEST(KeepPredictions, keeps_the_last_complete_pass_of_a_fit_that_is_cut_short) {
  const auto keep = std::make_shared<KeepPredictions>();
  learner_of(colours(60), {keep}).fit(3, {std::make_shared<CutInEvaluation>(0)});
  EXPECT_FALSE(keep->last());
  learner_of(colours(60), {keep}).fit(3, {std::make_shared<CutInEvaluation>(2)});
  ASSERT_TRUE(keep->last());
  EXPECT_EQ(keep->last()->epoch, 1);
  EXPECT_EQ(keep->last()->size(), 60);
}

TEST(KeepPredictions, goes_on_from_its_saved_state) {
  const auto keep = std::make_shared<KeepPredictions>();
  EXPECT_TRUE(keep->tensor_state().empty());
  learner_of(colours(60), {keep}).fit(1);
  KeepPredictions other;
  other.load_tensor_state(keep->tensor_state());
  ASSERT_TRUE(other.last());
  EXPECT_TRUE(torch::equal(other.last()->loss, keep->last()->loss));
  EXPECT_EQ(other.last()->step, keep->last()->step);
  EXPECT_EQ(to_json(*other.last(), *colours(60)), to_json(*keep->last(), *colours(60)));
  EXPECT_THAT(thrown_by([&] {
                other.load_tensor_state({{"label", torch::zeros(1)}});
              }),
              error_with(ErrorKind::data, "place is missing"));
}

TEST(KeepPredictions, refuses_what_is_no_classification) {
  fatwood::Run run;
  run.mode = Mode::evaluation;
  run.batch.y = torch::zeros({4, 2});
  run.predictions = torch::zeros({4, 2});
  EXPECT_THAT(thrown_by([&] { KeepPredictions().after_batch(run); }),
              error_with(ErrorKind::usage, "(4, 2)"));
}

TEST(PredictionsJson, names_classes_and_carries_the_pixels_of_the_worst_and_best) {
  for (const std::int64_t channels : {1, 3}) {
    const auto dataset = colours(40, channels);
    const Predictions found = predictions_of(network(channels), dataset);
    const nlohmann::json json = to_json(found, *dataset, 5);
    EXPECT_THAT(json.at("classes"), ElementsAre("red", "green", "blue", "dark"));
    EXPECT_EQ(json.at("samples"), 40);
    std::int64_t sum = 0;
    for (const auto& row : json.at("confusion")) {
      ASSERT_EQ(row.size(), 4u);
      for (const std::int64_t count : row) sum += count;
    }
    EXPECT_EQ(sum, 40);
    ASSERT_EQ(json.at("worst").size(), 5u);
    ASSERT_EQ(json.at("best").size(), 5u);
    for (const auto& sample : json.at("worst")) {
      const auto index = sample.at("index").get<std::int64_t>();
      const auto pixels = from_base64(sample.at("pixels").get<std::string>());
      ASSERT_TRUE(pixels);
      EXPECT_TRUE(std::ranges::equal(*pixels, dataset->image(index)));
      EXPECT_EQ(sample.at("label"), dataset->labels()[static_cast<std::size_t>(index)]);
      EXPECT_THAT(sample.at("shape"), ElementsAre(channels, 8, 8));
    }
  }
}

TEST(PredictionsJson, refuses_predictions_of_other_samples) {
  const Predictions found = predictions_of(network(), colours(40));
  EXPECT_THAT(thrown_by([&] { to_json(found, *colours(41)); }),
              error_with(ErrorKind::usage, "40 predictions"));
  const auto shifted = colours(41)->subset({1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14,
                                            15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
                                            29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40});
  EXPECT_THAT(thrown_by([&] { to_json(found, shifted); }),
              error_with(ErrorKind::usage, "another order"));
}

}  // namespace
}  // namespace fatwood
