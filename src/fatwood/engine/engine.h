// Chooses what runs a model's layers: LibTorch's operators, or the fused kernels wherever they know
// the layers. With `fused`, every Sequential in the model hands each run of known layers to one
// autograd function over memory planned once (fatwood/kernels/stretch.h); everything around it,
// from tensor hooks to optimisers, sees an ordinary tensor with an ordinary gradient.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <fatwood/engine/choice.h>
#include <fatwood/kernels/isa.h>
#include <fatwood/model/layer.h>

namespace fatwood {

enum class Engine { torch, fused };

/// "torch" or "fused", as engine_named() takes it.
std::string_view name_of(Engine engine);
/// "torch" or "fused"; throws Error{usage} for anything else.
Engine engine_named(std::string_view name);

/// What `--amp` asks for: "none" is f32, "bf16" bf16; throws Error{usage} for anything else, and
/// for bf16 with an engine that has no such mode.
kernels::Precision precision_named(std::string_view name, Engine engine);

/// Installs the engine on every Sequential in the model, now and until the next call. In bf16 the
/// layers that have kernels for it (kernels::has_bf16_kernels) keep their values and multiply in
/// it; the others, and those that LibTorch runs, stay f32, and so do parameters and gradients.
/// `tuning`, if there is one, decides before the built-in table for what it has entries of. `isa`
/// must run here (kernels::runs_here), which is not checked. `winograd` says which 3×3 convolutions
/// may go Winograd's way where that is faster: by default those of gradients.
///
/// A backward pass through the kernels throws Error{model} when another forward pass of the same
/// layers and shapes with gradients has come after its own, when it is the second of its forward
/// pass, and under create_graph: the values lie in one memory, which the backward pass overwrites.
/// LibTorch's error about an in-place change comes for every parameter changed between the two
/// passes, for biases too, which its own operators do not look at.
///
/// Threads may share a model: its kernels serve one at a time, and a pass without gradients gives
/// what it would give alone. One with gradients ends another thread's, as above. What changes the
/// model, its taps included, is for one thread at a time, as with LibTorch's own modules.
void use_engine(torch::nn::Module& model, Engine engine, kernels::Isa isa = kernels::default_isa(),
                KernelChoice choice = KernelChoice::table,
                kernels::Precision precision = kernels::Precision::f32, TuningPtr tuning = nullptr,
                kernels::WinogradUse winograd = kernels::WinogradUse::gradients);

/// What runs one layer under `Engine::fused`, and why not the kernels where they do not.
struct PlanRow {
  std::string name;  ///< the layer's path: "layers.0", see below
  std::string kind;  ///< "Conv"
  bool fused = false;
  kernels::Precision precision = kernels::Precision::f32;  ///< where fused
  std::string reason = {};                                 ///< empty where fused
  std::string kernels = {};  ///< where fused and the batch is known: which, in words
  std::string tuned = {};    ///< what was measured, where a tuned table decided
};

/// A row for each layer of each Sequential in the model, for its present mode and parameters.
std::vector<PlanRow> describe_plan(const torch::nn::Module& model,
                                   kernels::Precision precision = kernels::Precision::f32);

/// The same for batches like this one and the present number of threads, the choice by table or
/// tuning included. Runs the model once, in evaluation mode, to see what each layer is given; a
/// layer that does not run has no kernels in its row, and one that is given several shapes a row
/// for each: "layers.0 at (512, 8, 14, 14)". `winograd` is what use_engine was given.
std::vector<PlanRow> describe_plan(Layer& model, const Tensor& batch,
                                   kernels::Isa isa = kernels::default_isa(),
                                   kernels::Precision precision = kernels::Precision::f32,
                                   const TuningPtr& tuning = nullptr,
                                   kernels::WinogradUse winograd = kernels::WinogradUse::gradients);

/// What `tuning` changes of the built-in choices for batches of these sizes, a line for each layer
/// and size: "layers.0 at 512: LibTorch". Runs the model once on `sample`, of any size, unless the
/// table is empty.
std::string describe_tuning(Layer& model, const Tensor& sample,
                            const std::vector<std::int64_t>& batches, kernels::Isa isa,
                            kernels::Precision precision, const TuningPtr& tuning);

}  // namespace fatwood
