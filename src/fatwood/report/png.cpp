#include <string_view>

#include <zlib.h>

#include <fatwood/core/error.h>
#include <fatwood/io/base64.h>
#include <fatwood/report/png.h>

namespace fatwood {
namespace {

using Bytes = std::vector<std::uint8_t>;

void append_u32(Bytes& bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<std::uint8_t>(value >> shift));
}

// Length, type, data, and the CRC of type and data.
void append_chunk(Bytes& png, std::string_view type, const Bytes& data) {
  append_u32(png, static_cast<std::uint32_t>(data.size()));
  const std::size_t start = png.size();
  png.insert(png.end(), type.begin(), type.end());
  png.insert(png.end(), data.begin(), data.end());
  append_u32(png, static_cast<std::uint32_t>(
                      crc32(0, png.data() + start, static_cast<uInt>(png.size() - start))));
}

}  // namespace

std::vector<std::uint8_t> png(int channels, int height, int width,
                              const std::vector<std::uint8_t>& pixels) {
  const auto area = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  if ((channels != 1 && channels != 3) || height < 1 || width < 1 ||
      pixels.size() != area * static_cast<std::size_t>(channels)) {
    throw Error(ErrorKind::internal, "png",
                std::to_string(pixels.size()) + " bytes for " + std::to_string(channels) + " × " +
                    std::to_string(height) + " × " + std::to_string(width));
  }
  // Each line: filter type 0, then the pixels, channels interleaved.
  Bytes raw;
  raw.reserve(pixels.size() + static_cast<std::size_t>(height));
  for (int y = 0; y < height; ++y) {
    raw.push_back(0);
    for (int x = 0; x < width; ++x) {
      const auto at = static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
                      static_cast<std::size_t>(x);
      for (int c = 0; c < channels; ++c)
        raw.push_back(pixels[static_cast<std::size_t>(c) * area + at]);
    }
  }
  uLongf size = compressBound(static_cast<uLong>(raw.size()));
  Bytes packed(size);
  if (compress2(packed.data(), &size, raw.data(), static_cast<uLong>(raw.size()),
                Z_BEST_COMPRESSION) != Z_OK)
    throw Error(ErrorKind::internal, "png", "zlib refused to compress");
  packed.resize(size);

  Bytes file = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  Bytes header;
  append_u32(header, static_cast<std::uint32_t>(width));
  append_u32(header, static_cast<std::uint32_t>(height));
  // Bit depth, colour type, then deflate, adaptive filters and no interlacing.
  header.insert(header.end(), {8, static_cast<std::uint8_t>(channels == 1 ? 0 : 2), 0, 0, 0});
  append_chunk(file, "IHDR", header);
  append_chunk(file, "IDAT", packed);
  append_chunk(file, "IEND", {});
  return file;
}

std::string png_data_uri(int channels, int height, int width,
                         const std::vector<std::uint8_t>& pixels) {
  return "data:image/png;base64," + base64(png(channels, height, width, pixels));
}

}  // namespace fatwood
