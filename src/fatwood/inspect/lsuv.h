// LSUV: layer-sequential unit-variance initialisation. Layer after layer, in running order, the
// output on one real batch is brought to mean 0 and deviation 1 by its own weights.
// Source: Mishkin & Matas, "All you need is a good init", algorithm 1, with the mean as the page's
// library has it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <fatwood/train/callback.h>

namespace fatwood {

struct LsuvOptions {
  double tolerance = 0.01;           ///< on the mean and on the deviation
  std::int64_t max_iterations = 30;  ///< changes of a layer that are tried
  bool center = true;                ///< bring the mean to 0 as well, where a layer has a bias
};

/// What became of one layer.
struct LsuvRow {
  std::string name;  ///< "layers.2", "layers.2.conv_a"
  std::string kind;
  double mean_before = 0, std_before = 0;
  double mean = 0, std = 0;
  std::int64_t iterations = 0;  ///< changes made; 0 where the layer was well
  std::string remark;           ///< what could not be done, and why; empty otherwise
};

/// Visits the model's layers, and before a block the convolution inside it. A layer's output y is
/// changed through its last affine parameters: those of its norm where it has one (a convolution
/// before it has no say in the output's scale), else its weight and bias; of a ResidualConvBlock
/// those of conv_b and of the id_conv in use. Each iteration measures y in training mode by a tap,
/// subtracts its mean from the bias and divides weight and bias by its deviation. Nothing else is
/// changed: GeneralReLU's `a` and `b` are options, which no checkpoint holds, and running
/// statistics, modes, gradients and the generator are put back.
///
/// Where the mean cannot be brought to 0 (no bias; a plain ReLU whose output is never below zero)
/// the deviation alone is, with a remark. A layer that cannot be scaled at all (its output is
/// constant, it has no affine parameters of its own, the iterations do not suffice) is left as it
/// was, with a remark.
///
/// Runs under either engine; taps that others placed are served too, so call it before they are.
/// Throws Error{usage} for options that cannot be, Error{model} when a layer's output is not finite
/// or the batch does not fit; the model is then unchanged.
std::vector<LsuvRow> lsuv(Layer& model, const Tensor& batch, const LsuvOptions& options = {});

/// As a Markdown table.
std::string to_markdown(const std::vector<LsuvRow>& rows);

/// lsuv() before the first step of a fit, on its first batch. A fit that starts in the middle
/// leaves its weights alone.
class Lsuv : public Callback {
 public:
  using Options = LsuvOptions;
  explicit Lsuv(Options options = {}) : options_(options) {}

  std::string name() const override { return "lsuv"; }
  /// Before whatever copies the initial weights.
  Stage stage() const override { return Stage::data; }
  void before_fit(Run& run) override;

  /// What batches go through before the model sees them, where callbacks do that: BatchTransforms
  /// have not run yet when this does.
  std::function<Batch(const Batch&)> prepare = {};
  /// Hears the rows.
  std::function<void(const std::vector<LsuvRow>&)> report = {};

  const std::vector<LsuvRow>& rows() const { return rows_; }

 private:
  Options options_;
  std::vector<LsuvRow> rows_;
};

}  // namespace fatwood
