#include <cstdlib>

#include <fatwood/core/error.h>
#include <fatwood/kernels/isa.h>

namespace fatwood::kernels {
namespace {

#if defined(__x86_64__)
constexpr IsaInfo kIsas[] = {
    {Isa::portable, "portable", "any x86-64 processor", 4},
    {Isa::avx2, "avx2", "AVX2, FMA and BMI2", 8},
    {Isa::avx512, "avx512", "AVX-512 F, BW, DQ and VL", 16},
    {Isa::avx512_bf16, "avx512_bf16", "AVX-512 F, BW, DQ, VL and BF16", 16},
};
#else
constexpr IsaInfo kIsas[] = {{Isa::portable, "portable", "any processor", 4}};
#endif

std::string names(bool only_those_that_run) {
  std::string list;
  for (const IsaInfo& candidate : kIsas) {
    if (only_those_that_run && !runs_here(candidate.isa)) continue;
    if (!list.empty()) list += ", ";
    list += candidate.name;
  }
  return list;
}

}  // namespace

std::span<const IsaInfo> isas() {
  return kIsas;
}

const IsaInfo& info(Isa isa) {
  for (const IsaInfo& candidate : kIsas) {
    if (candidate.isa == isa) return candidate;
  }
  throw Error(ErrorKind::internal, "isa", "no kernels were built for this instruction set");
}

bool runs_here(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return true;
#if defined(__x86_64__) && !defined(FATWOOD_PORTABLE_KERNELS)
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("bmi2");
    case Isa::avx512:
#if defined(FATWOOD_EMULATE_AVX512)
      return runs_here(Isa::avx2);  // avx512_bf16, which would be the same, does not run
#else
      return runs_here(Isa::avx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    case Isa::avx512_bf16:
      return runs_here(Isa::avx512) && __builtin_cpu_supports("avx512bf16");
#endif
#endif
    default:
      return false;
  }
}

Isa choose_isa(std::string_view name) {
  std::string subject = "--isa";
  if (name.empty()) {
    if (const char* variable = std::getenv("FATWOOD_ISA")) name = variable;
    subject = "FATWOOD_ISA";
  }
  if (name.empty()) {
    Isa best = Isa::portable;
    for (const IsaInfo& candidate : kIsas) {
      if (runs_here(candidate.isa)) best = candidate.isa;
    }
    return best;
  }
  for (const IsaInfo& candidate : kIsas) {
    if (candidate.name != name) continue;
    if (runs_here(candidate.isa)) return candidate.isa;
    throw Error(ErrorKind::usage, "choose_isa",
                subject + ": found " + std::string(name) + ", which needs " +
                    std::string(candidate.needs) +
                    "; wanted one that this machine runs: " + names(true));
  }
  throw Error(ErrorKind::usage, "choose_isa",
              subject + ": found \"" + std::string(name) + "\", wanted one of " + names(false));
}

Isa default_isa() {
  static const Isa chosen = choose_isa();
  return chosen;
}

}  // namespace fatwood::kernels
