// Runs a Sequential's layers through the fused kernels: each run of neighbouring layers that the
// kernels know becomes one node of the autograd graph; the others run as they are.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include <fatwood/engine/choice.h>
#include <fatwood/engine/translate.h>
#include <fatwood/kernels/isa.h>
#include <fatwood/model/sequential.h>

namespace fatwood {

class FusedStretch;
struct StretchKey;

class FusedRunner : public SequenceRunner {
 public:
  FusedRunner(kernels::Isa isa, KernelChoice choice, kernels::Precision precision, TuningPtr tuning,
              kernels::WinogradUse winograd)
      : isa_(isa),
        choice_(choice),
        precision_(precision),
        tuning_(std::move(tuning)),
        winograd_(winograd) {}
  ~FusedRunner() override;

  Tensor run(Sequential& layers, const Tensor& x) override;

  /// How many planned stretches, each with its memory, are kept for the next steps.
  std::size_t plans() const;

 private:
  /// The stretch planned for that, made if there is none.
  std::shared_ptr<FusedStretch> plan_for(const StretchKey& key,
                                         const std::vector<TranslatedLayer>& translated);
  /// Drops what was used longest ago of the stretch that begins at layer `first`, if it has too
  /// many.
  void forget_oldest_plan(std::size_t first);
  Tensor run_known(const std::vector<LayerPtr>& layers,
                   const std::vector<TranslatedLayer>& translated, std::size_t first,
                   const Tensor& input);

  kernels::Isa isa_;
  KernelChoice choice_;
  kernels::Precision precision_;
  TuningPtr tuning_;
  kernels::WinogradUse winograd_;
  /// Planned stretches, the latest used first: full and short batches, training and evaluation.
  std::list<std::shared_ptr<FusedStretch>> planned_;
  /// Held while a stretch runs, forwards or backwards: its memory is one, and several stretches may
  /// write the same running statistics. Shared with them, whose backward passes may outlive this.
  std::shared_ptr<std::mutex> busy_ = std::make_shared<std::mutex>();
};

}  // namespace fatwood
