// One seed for everything that draws random numbers.
#pragma once

#include <cstdint>

namespace fatwood {

/// Seeds LibTorch's generators (initial weights, dropout). Batch order is a function of the seed
/// that its source is given. `deterministic` makes LibTorch refuse operators whose result depends
/// on timing.
void set_seed(std::uint64_t seed, bool deterministic = false);

}  // namespace fatwood
