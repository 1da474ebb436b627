// Runs a Sequential's layers through the fused kernels: each run of neighbouring layers that the
// kernels know becomes one node of the autograd graph; the others run as they are.
#pragma once

#include <list>
#include <memory>

#include <fatwood/engine/choice.h>
#include <fatwood/engine/translate.h>
#include <fatwood/kernels/isa.h>
#include <fatwood/model/sequential.h>

namespace fatwood {

class FusedStretch;

class FusedRunner : public SequenceRunner {
 public:
  FusedRunner(kernels::Isa isa, KernelChoice choice, kernels::Precision precision, TuningPtr tuning)
      : isa_(isa), choice_(choice), precision_(precision), tuning_(std::move(tuning)) {}
  ~FusedRunner() override;

  Tensor run(Sequential& layers, const Tensor& x) override;

 private:
  Tensor run_known(const std::vector<LayerPtr>& layers, std::vector<TranslatedLayer>& translated,
                   std::size_t first, const Tensor& x);

  kernels::Isa isa_;
  KernelChoice choice_;
  kernels::Precision precision_;
  TuningPtr tuning_;
  /// Planned stretches, the latest used first: full and short batches, training and evaluation.
  std::list<std::shared_ptr<FusedStretch>> planned_;
};

}  // namespace fatwood
