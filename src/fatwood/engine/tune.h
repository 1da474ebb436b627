// Measures which runs a model's layers faster on this machine, the kernels or LibTorch, and makes
// the entries of a tuned table. What `fatwood tune` does for each batch size (docs/tune.md).
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <fatwood/engine/choice.h>
#include <fatwood/model/layer.h>

namespace fatwood {

/// A choice leaves the built-in one only where the other way is faster by this factor.
inline constexpr double kTuningHysteresis = 1.05;

/// Whether the kernels are to run a layer that the built-in table gives to them, or not: its word
/// stands unless the other way takes less than 1/1.05 of the time.
bool tuned_choice(bool built_in, double kernels_ms, double torch_ms);

struct TuneOptions {
  kernels::Isa isa = kernels::default_isa();
  kernels::Precision precision = kernels::Precision::f32;
  double seconds = 1;  ///< for each layer, both ways together; five turns each at least
  std::stop_token stop = {};
};

struct TunedLayer {
  std::string names;  ///< of all layers that the entry is for: "layer1.0, layer1.1"
  std::string kind;
  kernels::TuningEntry entry;
  bool built_in = true;  ///< what the built-in table says: the kernels
};

/// A step of the whole network under both tables, measured where they differ.
struct TunedNetwork {
  double built_in_ms = 0, tuned_ms = 0;  ///< medians of a forward and a backward pass
};

struct TuneResult {
  std::vector<TunedLayer> layers;                             ///< each distinct one once
  std::vector<std::pair<std::string, std::string>> left_out;  ///< name, why LibTorch alone runs it
  std::optional<TunedNetwork> network;
  bool interrupted = false;  ///< stopped before the end: not to be kept

  /// Whether the entries leave the built-in choices in the end.
  bool changes() const;
};

/// Measures forward and backward pass in training mode of every layer that the kernels know, alone:
/// the kernels as a stretch of one layer, LibTorch channels-last, in turns, each with random values
/// in the layout it likes; medians. The input's gradient is taken but for layers that no gradient
/// leaves, as the first; if such a layer is frozen, its forward pass is all. Where an entry leaves
/// the built-in choice, steps of the whole network under both follow; if the tuned one is not the
/// faster, every entry keeps to the built-in choice. `batch` is (N, C, H, W). The model's values
/// stay as they are. Throws Error{data} where a norm is left with one value per channel, and,
/// before anything is measured, Error{model} for a model that cannot be cloned, as one with an
/// Adaptor in it: the steps are taken by copies.
TuneResult tune_layers(Layer& model, const Tensor& batch, const TuneOptions& options);

}  // namespace fatwood
