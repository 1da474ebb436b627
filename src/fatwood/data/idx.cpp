#include <cstddef>
#include <string>
#include <utility>

#include <fatwood/core/error.h>
#include <fatwood/data/idx.h>
#include <fatwood/io/file.h>
#include <fatwood/io/gzip.h>

namespace fatwood {
namespace {

constexpr std::uint8_t kUnsignedByte = 0x08;

[[noreturn]] void fail_idx(std::string_view name, const std::string& what) {
  throw Error(ErrorKind::data, "read_idx", std::string(name) + ": " + what);
}

std::uint32_t big_endian(ByteView bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
         std::uint32_t{bytes[2]} << 8 | bytes[3];
}

std::string hexadecimal(std::uint32_t value) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string text = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) text += kHex[value >> shift & 15];
  return text;
}

std::string element_type(std::uint8_t code) {
  switch (code) {
    case 0x09:
      return "int8";
    case 0x0B:
      return "int16";
    case 0x0C:
      return "int32";
    case 0x0D:
      return "float32";
    case 0x0E:
      return "float64";
    default:
      return "";
  }
}

void check_magic(std::uint32_t magic, std::string_view name, int dimensions) {
  const std::uint32_t wanted =
      std::uint32_t{kUnsignedByte} << 8 | static_cast<std::uint32_t>(dimensions);
  if (magic == wanted) return;
  std::string why;
  const std::string type = element_type(static_cast<std::uint8_t>(magic >> 8));
  const std::uint32_t found_dimensions = magic & 0xff;
  if (magic >> 16 == 0 && !type.empty()) {
    why = " (elements of type " + type + ", wanted bytes)";
  } else if (magic >> 8 == kUnsignedByte) {
    why = " (" + counted(found_dimensions, "dimension") + ", wanted " + std::to_string(dimensions) +
          ")";
  } else {
    why = " (not an IDX file of bytes)";
  }
  fail_idx(name, "magic " + hexadecimal(magic) + ", wanted " + hexadecimal(wanted) + why);
}

}  // namespace

IdxArray read_idx(const std::filesystem::path& path, int dimensions, const IdxLimits& limits) {
  Bytes file = read_file(path, limits.file_bytes);
  if (is_gzip(file) || path.extension() == ".gz") {
    file = gunzip(file, path.string(), limits.unpacked_bytes);
  }
  return parse_idx(std::move(file), path.string(), dimensions);
}

IdxArray parse_idx(Bytes file, std::string_view name, int dimensions) {
  const std::size_t header_bytes = 4 + 4 * static_cast<std::size_t>(dimensions);
  if (file.size() < header_bytes) {
    fail_idx(name,
             counted(file.size(), "byte") + ", wanted a header of " + std::to_string(header_bytes));
  }
  const ByteView header(file.data(), header_bytes);
  check_magic(big_endian(header), name, dimensions);

  IdxArray array;
  const std::uint64_t held = file.size() - header_bytes;
  std::uint64_t wanted = 1;
  std::string sizes;
  for (int d = 0; d < dimensions; ++d) {
    const std::uint32_t size = big_endian(header.subspan(4 + 4 * static_cast<std::size_t>(d)));
    if (size == 0) fail_idx(name, "dimension " + std::to_string(d) + " has size 0");
    array.shape.push_back(size);
    sizes += (d > 0 ? " × " : "") + std::to_string(size);
    // Past what the file holds the exact product no longer matters, and could overflow.
    if (wanted <= held) wanted *= size;
  }
  if (wanted != held) {
    fail_idx(name, "the header says " + sizes + " bytes, the file holds " + std::to_string(held));
  }
  file.erase(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(header_bytes));
  array.values = std::move(file);
  return array;
}

}  // namespace fatwood
