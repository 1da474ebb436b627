// What the next call reads, fetched between the products of this one: a call that finds its input
// in memory waits for it longer than for its first products.
#pragma once

#include <fatwood/kernels/simd/vec.h>

namespace fatwood::kernels {
namespace {

/// What is left of it, as much of it after each of `tiles` tiles. `from` null: nothing.
struct Ahead {
  static constexpr int kLine = 16;  // floats
  const float* at;
  const float* end;
  std::int64_t lines_per_tile;

  Ahead(const float* from, std::int64_t floats, std::int64_t tiles)
      : at(from), end(from + floats), lines_per_tile(0) {
    if (from && tiles > 0) lines_per_tile = ((floats + kLine - 1) / kLine + tiles - 1) / tiles;
  }

  void after_tile() {
    for (std::int64_t i = lines_per_tile; i > 0 && at < end; --i, at += kLine) prefetch(at);
  }
};

}  // namespace
}  // namespace fatwood::kernels
