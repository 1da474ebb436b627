// The IDX format of MNIST and its successors: a magic number, the sizes of the dimensions, the
// elements. Every figure of the header is checked against the bytes that are there.
// Source: "The MNIST database", https://yann.lecun.com/exdb/mnist/, section "File formats".
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include <fatwood/io/bytes.h>

namespace fatwood {

/// An array of bytes in C order.
struct IdxArray {
  std::vector<std::uint32_t> shape;
  Bytes values;
};

struct IdxLimits {
  std::uint64_t file_bytes = std::uint64_t{64} << 20;      ///< as stored
  std::uint64_t unpacked_bytes = std::uint64_t{96} << 20;  ///< twice FashionMNIST's images
};

/// Reads an IDX file of bytes with `dimensions` dimensions, plain or packed by gzip. Throws
/// Error{io} when it cannot be read, Error{data} when a field of the header, the length or the gzip
/// stream is wrong, a dimension is zero or a limit is passed.
IdxArray read_idx(const std::filesystem::path& path, int dimensions, const IdxLimits& limits = {});

/// The same for the bytes of an unpacked file; `name` stands for it in messages.
IdxArray parse_idx(Bytes file, std::string_view name, int dimensions);

}  // namespace fatwood
