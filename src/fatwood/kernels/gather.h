// From stored bytes to a batch of floats: picks images by index, scales and shifts them in the same
// pass. The data set stays as bytes in memory; a batch is read once and written once.
#pragma once

#include <cstdint>
#include <span>

#include <fatwood/kernels/isa.h>
#include <fatwood/kernels/parallel.h>

namespace fatwood::kernels {

/// Images stored one after the other, each (channels, height, width) of bytes.
struct ByteImages {
  const std::uint8_t* bytes = nullptr;
  std::int64_t count = 0;
  int channels = 1;
  int height = 0;
  int width = 0;

  std::int64_t plane_size() const { return static_cast<std::int64_t>(height) * width; }
  std::int64_t image_size() const { return channels * plane_size(); }
};

/// value = byte·scale + shift. To scale to [0,1] and normalise: scale = 1/(255·std),
/// shift = -mean/std.
struct ByteScaling {
  float scale = 1.0F / 255;
  float shift = 0;
};

enum class ImageLayout {
  nchw,             ///< (N, C, H, W)
  nhwc,             ///< (N, H, W, C), PyTorch's channels-last
  batch_innermost,  ///< (⌈N/L⌉, C, H, W, L), L = lanes_of(isa); lanes past N are zero
};

/// Floats that gather() writes; for batch_innermost lanes past the batch are counted.
std::int64_t gathered_size(const ByteImages& images, std::int64_t batch, ImageLayout layout,
                           Isa isa = default_isa());

/// out[i] = scaled image indices[i]. `scaling` holds one entry, or one for each channel.
/// out: gathered_size() floats, aligned to 64 bytes for batch_innermost.
/// Throws Error{data}, and writes nothing, for an index outside [0, count) and for a number of
/// scalings that is neither 1 nor that of the channels.
void gather(const ByteImages& images, std::span<const std::int64_t> indices,
            std::span<const ByteScaling> scaling, ImageLayout layout, float* out,
            const ParallelFor& parallel = {}, Isa isa = default_isa());

}  // namespace fatwood::kernels
