#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fatwood/core/error.h>
#include <fatwood/inspect/summary.h>
#include <fatwood/model/adaptor.h>
#include <fatwood/model/blocks.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/model_table.h>
#include <fatwood/model/state.h>

namespace fatwood {
namespace {

std::string page_table(const std::string& model) {
  return to_markdown(summarize(*build_model(model), torch::zeros({512, 1, 28, 28})),
                     SummaryForm::page);
}

// The page's tables, to the character.

TEST(Summary, of_deeper_cnn_is_the_pages) {
  EXPECT_EQ(page_table("deeper_cnn"),
            "| Type | Input | Output | N. params | MFlops |\n"
            "| -- | -- | -- | -- | -- |\n"
            "| Conv | (512, 1, 28, 28) | (8, 28, 28) | 216 | 0.2 |\n"
            "| Conv | (512, 8, 28, 28) | (16, 14, 14) | 1,184 | 0.2 |\n"
            "| Conv | (512, 16, 14, 14) | (32, 7, 7) | 4,672 | 0.2 |\n"
            "| Conv | (512, 32, 7, 7) | (64, 4, 4) | 18,560 | 0.3 |\n"
            "| Conv | (512, 64, 4, 4) | (128, 2, 2) | 73,984 | 0.3 |\n"
            "| Conv | (512, 128, 2, 2) | (10, 1, 1) | 11,540 | 0.0 |\n"
            "| Total | | | 110,156 | |\n");
}

TEST(Summary, of_residual_cnn_is_the_pages) {
  EXPECT_EQ(page_table("residual_cnn"),
            "| Type | Input | Output | N. params | MFlops |\n"
            "| -- | -- | -- | -- | -- |\n"
            "| ResidualConvBlock | (512, 1, 28, 28) | (8, 28, 28) | 1,848 | 1.4 |\n"
            "| ResidualConvBlock | (512, 8, 28, 28) | (16, 14, 14) | 3,664 | 0.7 |\n"
            "| ResidualConvBlock | (512, 16, 14, 14) | (32, 7, 7) | 14,496 | 0.7 |\n"
            "| ResidualConvBlock | (512, 32, 7, 7) | (64, 4, 4) | 57,664 | 0.9 |\n"
            "| ResidualConvBlock | (512, 64, 4, 4) | (128, 2, 2) | 230,016 | 0.9 |\n"
            "| ResidualConvBlock | (512, 128, 2, 2) | (10, 1, 1) | 13,750 | 0.0 |\n"
            "| Total | | | 321,438 | |\n");
}

TEST(Summary, shape_of_double_conv_cnn_is_the_pages) {
  EXPECT_EQ(shape(*build_model("double_conv_cnn"), torch::zeros({512, 1, 28, 28})),
            "| Type | Input | Output | N. params |\n"
            "| -- | -- | -- | -- |\n"
            "| DoubleConvBlock | (512, 1, 28, 28) | (8, 28, 28) | 1,832 |\n"
            "| DoubleConvBlock | (512, 8, 28, 28) | (16, 14, 14) | 3,520 |\n"
            "| DoubleConvBlock | (512, 16, 14, 14) | (32, 7, 7) | 13,952 |\n"
            "| DoubleConvBlock | (512, 32, 7, 7) | (64, 4, 4) | 55,552 |\n"
            "| DoubleConvBlock | (512, 64, 4, 4) | (128, 2, 2) | 221,696 |\n"
            "| DoubleConvBlock | (512, 128, 2, 2) | (10, 1, 1) | 12,460 |\n"
            "| Total | | | 309,012 |\n");
}

TEST(Summary, counts_the_work_of_each_convolution_once) {
  const Summary summary = summarize(*build_model("residual_cnn"), torch::zeros({3, 1, 28, 28}));
  // conv_a at 28×28, conv_b at 14×14, and the 1×1 convolution of the pooled input.
  EXPECT_EQ(summary.layers.at(1).macs,
            28 * 28 * 16 * 8 * 9 + 14 * 14 * 16 * 16 * 9 + 14 * 14 * 16 * 8);
  EXPECT_EQ(summary.layers.at(1).activation_bytes, 3 * 16 * 14 * 14 * 4);
  std::int64_t total = 0;
  for (const LayerSummary& layer : summary.layers) total += layer.macs;
  EXPECT_EQ(summary.macs_total, total);
}

TEST(Summary, works_for_any_torch_modules) {
  const LayerPtr model = adapt(torch::nn::Sequential(
      torch::nn::Conv2d(torch::nn::Conv2dOptions(4, 8, 3).groups(2)),
      torch::nn::ConvTranspose2d(torch::nn::ConvTranspose2dOptions(8, 2, 2).stride(2)),
      torch::nn::Flatten(), torch::nn::Linear(2 * 8 * 8, 5)));
  const Summary summary = summarize(*model, torch::zeros({2, 4, 6, 6}));
  EXPECT_EQ(summary.layers.at(0).macs, 4 * 4 * 8 * 2 * 9);
  EXPECT_EQ(summary.layers.at(1).macs, 4 * 4 * 8 * 2 * 4);
  EXPECT_EQ(summary.layers.at(2).macs, 0);
  EXPECT_EQ(summary.layers.at(3).macs, 128 * 5);
  EXPECT_EQ(summary.layers.at(3).params, 128 * 5 + 5);
  EXPECT_EQ(summary.layers.at(3).kind, "Linear");
}

TEST(Summary, leaves_the_model_as_it_was) {
  const LayerPtr model = build_model("cnn");
  const NamedTensors before = named_state(*std::dynamic_pointer_cast<Layer>(model->clone()));
  summarize(*model, torch::randn({2, 1, 28, 28}));
  const NamedTensors after = named_state(*model);
  for (std::size_t i = 0; i < before.size(); ++i)
    EXPECT_TRUE(torch::equal(before[i].second, after[i].second));
  EXPECT_TRUE(model->is_training());
  for (const NamedLayer& part : model->layers()) EXPECT_FALSE(part.layer->has_taps());
}

TEST(Summary, names_what_cannot_be_shown) {
  EXPECT_THROW(summarize(*make<GeneralReLU>({}), torch::zeros({2, 2})), Error);
  const auto stranger = make<GeneralReLU>({});
  try {
    summarize(*build_model("cnn"), {{"elsewhere", stranger}}, torch::zeros({2, 1, 28, 28}));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("elsewhere did not run"));
  }
}

}  // namespace
}  // namespace fatwood
