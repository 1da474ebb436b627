// The order in which an epoch visits the images: a permutation that is a function of
// (seed, epoch) and of nothing that happened before, the same on every machine.
#pragma once

#include <cstdint>
#include <vector>

#include <fatwood/core/philox.h>

namespace fatwood {

/// 0 … count-1 shuffled by `random` (Fisher and Yates, from the end). Every permutation is equally
/// likely, as far as 64 bits of seed reach. count < 2^32.
std::vector<std::int64_t> permutation(std::int64_t count, PhiloxSequence random);

/// The permutation of epoch `epoch` of a run with `seed`.
std::vector<std::int64_t> epoch_permutation(std::int64_t count, std::uint64_t seed,
                                            std::int64_t epoch);

}  // namespace fatwood
