#include <algorithm>
#include <string>

#include <fatwood/core/error.h>
#include <fatwood/kernels/gather.h>
#include <fatwood/kernels/table.h>

namespace fatwood::kernels {
namespace {

constexpr int kMostLanes = 16;

void check(const ByteImages& images, std::span<const std::int64_t> indices,
           std::span<const ByteScaling> scaling) {
  for (std::int64_t index : indices) {
    if (index < 0 || index >= images.count) {
      throw Error(ErrorKind::data, "gather",
                  "index: found " + std::to_string(index) + ", wanted one in [0, " +
                      std::to_string(images.count) + ")");
    }
  }
  if (scaling.size() != 1 && scaling.size() != static_cast<std::size_t>(images.channels)) {
    throw Error(ErrorKind::data, "gather",
                "scaling: found " + std::to_string(scaling.size()) + " entries, wanted 1 or " +
                    std::to_string(images.channels));
  }
}

}  // namespace

std::int64_t gathered_size(const ByteImages& images, std::int64_t batch, ImageLayout layout,
                           Isa isa) {
  const std::int64_t lanes = layout == ImageLayout::batch_innermost ? lanes_of(isa) : 1;
  return (batch + lanes - 1) / lanes * lanes * images.image_size();
}

void gather(const ByteImages& images, std::span<const std::int64_t> indices,
            std::span<const ByteScaling> scaling, ImageLayout layout, float* out,
            const ParallelFor& parallel, Isa isa) {
  check(images, indices, scaling);
  const KernelTable& table = table_for(isa);
  const auto batch = static_cast<std::int64_t>(indices.size());
  const std::int64_t plane = images.plane_size();
  const std::int64_t size = images.image_size();
  const auto scaling_of = [&](int channel) {
    return scaling[scaling.size() == 1 ? 0 : static_cast<std::size_t>(channel)];
  };
  const auto image = [&](std::int64_t i) {
    return images.bytes + indices[static_cast<std::size_t>(i)] * size;
  };

  if (layout == ImageLayout::batch_innermost) {
    const int lanes = lanes_of(isa);
    parallel.for_each_part(
        (batch + lanes - 1) / lanes, 1, [&](int, std::int64_t begin, std::int64_t end) {
          for (std::int64_t group = begin; group < end; ++group) {
            const std::int64_t first = group * lanes;
            const int present = static_cast<int>(std::min<std::int64_t>(lanes, batch - first));
            for (int c = 0; c < images.channels; ++c) {
              const std::uint8_t* planes[kMostLanes] = {};
              for (int i = 0; i < present; ++i) {
                planes[i] = image(first + i) + c * plane;
              }
              const ByteScaling s = scaling_of(c);
              table.interleave_bytes(planes, present, plane, s.scale, s.shift,
                                     out + (group * images.channels + c) * plane * lanes);
            }
          }
        });
    return;
  }

  parallel.for_each_part(batch, 1, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      float* to = out + i * size;
      for (int c = 0; c < images.channels; ++c) {
        const std::uint8_t* from = image(i) + c * plane;
        const ByteScaling s = scaling_of(c);
        if (layout == ImageLayout::nchw || images.channels == 1) {
          table.scale_bytes(from, plane, s.scale, s.shift, to + c * plane);
        } else {
          for (std::int64_t p = 0; p < plane; ++p) {
            to[p * images.channels + c] = static_cast<float>(from[p]) * s.scale + s.shift;
          }
        }
      }
    }
  });
}

}  // namespace fatwood::kernels
