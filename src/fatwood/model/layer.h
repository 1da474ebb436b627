// Layer: a module from one tensor to one tensor, with taps. It is a torch::nn::Module, so it works
// in torch::nn::Sequential, in optimisers and in serialisation as any other; layers are held by
// shared_ptr and made by `make<Conv>({.c_in = 1, .c_out = 8})`.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/nn/module.h>

#include <fatwood/model/tap.h>

namespace fatwood {

using LayerPtr = std::shared_ptr<Layer>;

/// A layer with its path in the model: {"layers.0", conv}.
struct NamedLayer {
  std::string name;
  LayerPtr layer;
};

class Layer : public torch::nn::Module {
 public:
  /// Computes the output, then serves the taps that are due.
  Tensor forward(const Tensor& x);

  /// The type's name in summaries: "Conv".
  virtual std::string kind() const = 0;

  /// The parts worth looking at one by one, in the order in which they run: what `summarize` and
  /// the activation statistics show. Empty for a layer that is one thing.
  virtual std::vector<NamedLayer> layers() const { return {}; }

  /// A layer of the same options and fresh parameters.
  virtual LayerPtr remake() const = 0;

  /// Deep copy: same options, same values, same mode of each module, no taps; on `device` if given.
  /// Leaves the default random generator as it was.
  std::shared_ptr<torch::nn::Module> clone(
      const std::optional<torch::Device>& device = std::nullopt) const override;

  /// "Conv(1 → 8, ks=5, stride=1)": one line for a layer without parts.
  virtual std::string description() const { return kind() + "()"; }
  void pretty_print(std::ostream& stream) const override { stream << description(); }

  /// Places a tap; it is served until the handle goes. The layer must be held by a shared_ptr.
  TapHandle add_tap(Tap tap);

  /// What the taps due at the next forward pass in `mode` want, or at the one `ahead` passes after
  /// it, joined; nullopt when none is due. A tap with `before` counts as one that wants tensors:
  /// its layer must run by itself. For engines, which serve taps themselves through `serve_taps`.
  std::optional<TapRequest> due_taps(Mode mode, std::int64_t ahead = 0) const;

  /// Delivers to the taps that are due and moves every tap's count on. `statistics` is used where
  /// it is given, measured from `output` where it is not. A tap that wants what an engine did not
  /// keep, being placed after the engine asked, waits for the next pass.
  void serve_taps(const Tensor& input, const Tensor& output,
                  std::optional<ActivationStatistics> statistics = std::nullopt);

  bool has_taps() const { return !taps_.empty(); }

 protected:
  virtual Tensor compute(const Tensor& x) = 0;

  /// What works for this layer without being registered in it: clone() sets its modes, too.
  virtual std::vector<std::shared_ptr<torch::nn::Module>> unregistered_parts() const { return {}; }

 private:
  friend class TapHandle;
  struct PlacedTap {
    std::int64_t id;
    Tap tap;
    std::int64_t passes;   // forward passes of the modes it asked for
    bool removed = false;  // perhaps while taps are served
    bool wants(Mode mode) const;
    bool due(Mode mode, std::int64_t ahead = 0) const;
    bool hist_due(std::int64_t ahead = 0) const;
    bool served_by(const Tensor& output,
                   const std::optional<ActivationStatistics>& statistics) const;
  };
  Mode mode() const { return is_training() ? Mode::training : Mode::evaluation; }
  void announce_taps();
  static void copy_modes(const torch::nn::Module& from, torch::nn::Module& to);

  std::vector<std::shared_ptr<PlacedTap>> taps_;
  std::int64_t next_tap_id_ = 1;
};

/// make<Conv>({.c_in = 1, .c_out = 8}): every layer type names its options `Options`.
template <class LayerType>
std::shared_ptr<LayerType> make(const typename LayerType::Options& options) {
  return std::make_shared<LayerType>(options);
}

/// The layer's tree, a line per part of `layers()`, with parameter counts.
std::ostream& operator<<(std::ostream& stream, const Layer& layer);

/// "(512, 1, 28, 28)"
std::string shape_text(torch::IntArrayRef shape);

}  // namespace fatwood
