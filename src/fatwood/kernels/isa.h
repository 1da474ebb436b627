// Instruction sets: which ones this program carries kernels for, which of them the machine can run,
// and how one is chosen. Every kernel takes an `Isa`; nothing else in fatwood asks the processor.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace fatwood::kernels {

enum class Isa { portable, avx2, avx512, avx512_bf16 };

/// What a layer's values and their gradients are stored as, and multiplied in. Sums, weights,
/// statistics and the gradients of parameters are f32 either way.
enum class Precision { f32, bf16 };

/// "f32" or "bf16".
constexpr std::string_view name_of(Precision precision) {
  return precision == Precision::bf16 ? "bf16" : "f32";
}

struct IsaInfo {
  Isa isa;
  std::string_view name;
  std::string_view needs;  ///< the processor's features, in words
  int lanes;  ///< floats per vector, and images per group in the batch-innermost layout
};

/// All instruction sets that this program has kernels for, from the slowest to the fastest.
std::span<const IsaInfo> isas();

/// Throws Error{internal} where no kernels were built: off x86-64 for all but portable. name_of()
/// and lanes_of() likewise.
const IsaInfo& info(Isa isa);
/// As choose_isa() takes it: "avx2".
inline std::string_view name_of(Isa isa) {
  return info(isa).name;
}
/// Floats per vector: 4, 8 or 16.
inline int lanes_of(Isa isa) {
  return info(isa).lanes;
}

/// The instruction set whose kernels compute: avx512_bf16 differs from avx512 in bf16 alone.
inline Isa computing_isa(Isa isa, Precision precision) {
  return isa == Isa::avx512_bf16 && precision == Precision::f32 ? Isa::avx512 : isa;
}

/// Whether `isa` has an instruction for products of bf16; the others emulate it, at about half of
/// f32's speed.
inline bool multiplies_bf16(Isa isa) {
  return isa == Isa::avx512_bf16;
}

/// Whether this machine and its operating system run `isa`.
bool runs_here(Isa isa);

/// `name` when it is not empty, else the environment variable FATWOOD_ISA, else the fastest that
/// runs here. Throws Error{usage} for a name that does not exist or does not run on this machine.
Isa choose_isa(std::string_view name = {});

/// choose_isa() as of the first call.
Isa default_isa();

}  // namespace fatwood::kernels
