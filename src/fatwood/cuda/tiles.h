// The tiles of a convolution, as its kernels have them and those who launch them. Without includes,
// since NVRTC compiles it in front of the kernels. Private to cuda.
#pragma once

namespace fatwood::cuda {

constexpr int kConvThreads = 128;
constexpr int kMostTaps = 49;
constexpr int kGroups = 16;  // of a tile: eight neighbouring pixels each, four a warp
constexpr int kMostParts = 4;

struct Tap {
  signed char dy = 0, dx = 0;
  short weight = 0;  // its place among the taps of the weights
};

/// What a convolution reads for the row (n, y, x) and the tap t: source (n, mul·y + dy[t], mul·x +
/// dx[t]). The row's result goes to the pixel (n, out_mul·y + out_y, out_mul·x + out_x). A tile is
/// tile_h × tile_w rows, tile_w a multiple of eight; its patch of the source, patch_h × patch_w
/// pixels of `pitch` values, begins at (mul·y + min_dy, mul·x + min_dx) of the tile's first row.
struct Gathering {
  int row_h = 0, row_w = 0, mul = 1;
  int height = 0, width = 0, channels = 0;  // of the source
  int out_mul = 1, out_y = 0, out_x = 0;
  int tile_h = 1, tile_w = 8, tiles_y = 0, tiles_x = 0;
  int min_dy = 0, min_dx = 0, patch_h = 0, patch_w = 0, pitch = 0;
  int quads = 0;  // whether four channels are read at a time
  int taps = 0;
  Tap tap[kMostTaps];
};

/// The parts of a convolution whose rows have taps of their own, one a blockIdx.z.
struct Gatherings {
  Gathering part[kMostParts];
};

}  // namespace fatwood::cuda
