// Sequential: layers one after another, under the names "0", "1", …. Every network of the library
// runs through one, so it is where an engine takes over a stretch of layers.
#pragma once

#include <vector>

#include <fatwood/model/layer.h>

namespace fatwood {

class Sequential;

/// Runs a Sequential's layers in some other way than one after another, taps included. Installed by
/// an engine; see src/fatwood/engine.
class SequenceRunner {
 public:
  virtual ~SequenceRunner() = default;
  virtual Tensor run(Sequential& layers, const Tensor& x) = 0;
};

/// While one lives, this thread's Sequentials ignore their runners: the oracle's way, and the way
/// to see the operators that a network is made of.
class PlainExecution {
 public:
  PlainExecution() { ++depth_; }
  ~PlainExecution() { --depth_; }
  PlainExecution(const PlainExecution&) = delete;
  PlainExecution& operator=(const PlainExecution&) = delete;
  static bool active() { return depth_ > 0; }

 private:
  static thread_local int depth_;
};

class Sequential : public Layer {
 public:
  using Options = std::vector<LayerPtr>;

  /// Registers the layers as "0", "1", ….
  explicit Sequential(const Options& layers = {});

  void push_back(LayerPtr layer);
  std::size_t size() const { return layers_.size(); }
  const LayerPtr& operator[](std::size_t i) const { return layers_.at(i); }
  auto begin() const { return layers_.begin(); }
  auto end() const { return layers_.end(); }

  std::string kind() const override { return "Sequential"; }
  std::vector<NamedLayer> layers() const override;
  LayerPtr remake() const override;

  /// nullptr: the layers run one after another.
  void set_runner(std::shared_ptr<SequenceRunner> runner) { runner_ = std::move(runner); }
  const std::shared_ptr<SequenceRunner>& runner() const { return runner_; }

  /// The plain way: each layer's forward in turn.
  Tensor run_layers(Tensor x);

 protected:
  Tensor compute(const Tensor& x) override;

 private:
  std::vector<LayerPtr> layers_;
  std::shared_ptr<SequenceRunner> runner_;
};

/// `layers` with `prefix` and a dot before each name.
std::vector<NamedLayer> with_prefix(const std::string& prefix, std::vector<NamedLayer> layers);

}  // namespace fatwood
