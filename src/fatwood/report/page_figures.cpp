#include <fatwood/report/page_figures.h>

namespace fatwood {
namespace {

constexpr Mode kTrain = Mode::training;
constexpr Mode kEval = Mode::evaluation;

constexpr std::array kRuns{
    PageRun{"deeper_cnn",
            "DeeperCNN, Conv",
            110'156,
            {{{0, kTrain, 0.783, 0.764},
              {0, kEval, 0.818, 0.544},
              {1, kTrain, 0.885, 0.364},
              {1, kEval, 0.873, 0.366},
              {2, kTrain, 0.913, 0.271},
              {2, kEval, 0.895, 0.314}}}},
    PageRun{"residual_cnn",
            "DeeperCNN, ResidualConvBlock",
            321'438,
            {{{0, kTrain, 0.807, 0.583},
              {0, kEval, 0.869, 0.384},
              {1, kTrain, 0.894, 0.289},
              {1, kEval, 0.893, 0.288},
              {2, kTrain, 0.926, 0.201},
              {2, kEval, 0.915, 0.228}}}},
    PageRun{"resnet18",
            "timm's resnet18",
            11'175'370,
            {{{0, kTrain, 0.776, 0.663},
              {0, kEval, 0.729, 0.935},
              {1, kTrain, 0.884, 0.312},
              {1, kEval, 0.890, 0.316},
              {2, kTrain, 0.914, 0.230},
              {2, kEval, 0.906, 0.260}}}},
    PageRun{"double_conv_cnn",
            "DeeperCNN, DoubleConvBlock",
            309'012,
            {{{0, kTrain, 0.793, 0.730},
              {0, kEval, 0.806, 0.599},
              {1, kTrain, 0.889, 0.348},
              {1, kEval, 0.898, 0.304},
              {2, kTrain, 0.920, 0.247},
              {2, kEval, 0.910, 0.275}}}},
};

constexpr std::array kSummaries{
    PageSummary{"deeper_cnn", true,
                "| Type | Input | Output | N. params | MFlops |\n"
                "| -- | -- | -- | -- | -- |\n"
                "| Conv | (512, 1, 28, 28) | (8, 28, 28) | 216 | 0.2 |\n"
                "| Conv | (512, 8, 28, 28) | (16, 14, 14) | 1,184 | 0.2 |\n"
                "| Conv | (512, 16, 14, 14) | (32, 7, 7) | 4,672 | 0.2 |\n"
                "| Conv | (512, 32, 7, 7) | (64, 4, 4) | 18,560 | 0.3 |\n"
                "| Conv | (512, 64, 4, 4) | (128, 2, 2) | 73,984 | 0.3 |\n"
                "| Conv | (512, 128, 2, 2) | (10, 1, 1) | 11,540 | 0.0 |\n"
                "| Total | | | 110,156 | |\n"},
    PageSummary{"residual_cnn", true,
                "| Type | Input | Output | N. params | MFlops |\n"
                "| -- | -- | -- | -- | -- |\n"
                "| ResidualConvBlock | (512, 1, 28, 28) | (8, 28, 28) | 1,848 | 1.4 |\n"
                "| ResidualConvBlock | (512, 8, 28, 28) | (16, 14, 14) | 3,664 | 0.7 |\n"
                "| ResidualConvBlock | (512, 16, 14, 14) | (32, 7, 7) | 14,496 | 0.7 |\n"
                "| ResidualConvBlock | (512, 32, 7, 7) | (64, 4, 4) | 57,664 | 0.9 |\n"
                "| ResidualConvBlock | (512, 64, 4, 4) | (128, 2, 2) | 230,016 | 0.9 |\n"
                "| ResidualConvBlock | (512, 128, 2, 2) | (10, 1, 1) | 13,750 | 0.0 |\n"
                "| Total | | | 321,438 | |\n"},
    PageSummary{"double_conv_cnn", false,
                "| Type | Input | Output | N. params |\n"
                "| -- | -- | -- | -- |\n"
                "| DoubleConvBlock | (512, 1, 28, 28) | (8, 28, 28) | 1,832 |\n"
                "| DoubleConvBlock | (512, 8, 28, 28) | (16, 14, 14) | 3,520 |\n"
                "| DoubleConvBlock | (512, 16, 14, 14) | (32, 7, 7) | 13,952 |\n"
                "| DoubleConvBlock | (512, 32, 7, 7) | (64, 4, 4) | 55,552 |\n"
                "| DoubleConvBlock | (512, 64, 4, 4) | (128, 2, 2) | 221,696 |\n"
                "| DoubleConvBlock | (512, 128, 2, 2) | (10, 1, 1) | 12,460 |\n"
                "| Total | | | 309,012 |\n"},
};

}  // namespace

std::span<const PageRun> page_runs() {
  return kRuns;
}

std::span<const PageSummary> page_summaries() {
  return kSummaries;
}

}  // namespace fatwood
