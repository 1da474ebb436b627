// The safetensors format: named tensors as raw bytes behind a JSON header. Weights and checkpoints
// are stored in it because reading it runs no code. Every figure of a file is checked before it is
// used, and nothing here knows of LibTorch.
// Source: the format's description, https://huggingface.co/docs/safetensors/index
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fatwood/io/bytes.h>

namespace fatwood {

/// Element types: those of whole bytes that LibTorch and the format share.
enum class DType {
  boolean,
  u8,
  i8,
  f8_e4m3,
  f8_e4m3fnuz,
  f8_e5m2,
  f8_e5m2fnuz,
  f8_e8m0,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  i64,
  u64,
  f64,
  c64,
};

/// The format's name: "F32", "BOOL", …
std::string_view name_of(DType dtype);
/// Bytes per element.
std::uint64_t size_of(DType dtype);

/// A tensor to be written, or one of a file that is in memory. `data` is not owned: C order, little
/// endian, shape's product × size_of(dtype) bytes.
struct TensorView {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;  ///< empty for a scalar
  ByteView data;
};

using Metadata = std::map<std::string, std::string>;

struct SafetensorsHeader;  // safetensors_header.h

struct SafetensorsLimits {
  std::uint64_t file_bytes = std::uint64_t{16} << 30;
  std::uint64_t header_bytes = 100'000'000;  ///< as in the format's own reader
  std::size_t entries = 100'000;             ///< tensors; also entries of the metadata
  std::size_t dimensions = 64;               ///< of one tensor: LibTorch's own limit
  std::size_t token_bytes = 4 << 20;  ///< of a name, an entry of the metadata, a run of blanks
};

/// A file in memory. Movable, not copyable: the views are into it.
class Safetensors {
 public:
  /// Reads `path`; the header is checked against the file's size before tensors are read. Throws
  /// Error{io} when it cannot be read, Error{data} when it is not what the format wants: exact
  /// length, no holes or overlaps between tensors, no duplicate or unknown keys, valid UTF-8.
  static Safetensors read(const std::filesystem::path& path, const SafetensorsLimits& limits = {});
  /// Whether the file's header is one and agrees with the file's size, by the header alone; throws
  /// as read() does otherwise.
  static void check_header(const std::filesystem::path& path, const SafetensorsLimits& limits = {});
  /// The same as read() for a file's bytes; `name` stands for it in messages.
  static Safetensors parse(Bytes file, std::string_view name, const SafetensorsLimits& limits = {});

  Safetensors(Safetensors&&) = default;
  Safetensors& operator=(Safetensors&&) = default;
  Safetensors(const Safetensors&) = delete;
  Safetensors& operator=(const Safetensors&) = delete;
  ~Safetensors() = default;

  /// In the order of the file's header.
  const std::vector<TensorView>& tensors() const noexcept { return tensors_; }
  /// nullptr when there is none of that name.
  const TensorView* find(std::string_view name) const;
  const Metadata& metadata() const noexcept { return metadata_; }

 private:
  Safetensors(Bytes data, SafetensorsHeader header, std::uint64_t data_begin);

  Bytes data_;  // moving a vector keeps its elements where they are, so the views stay valid
  std::vector<TensorView> tensors_;
  std::map<std::string_view, std::size_t, std::less<>> index_;  // keys live in tensors_
  Metadata metadata_;
};

/// Hands a file's bytes to `sink`, piece by piece: the header, then the data of each tensor as a
/// piece of its own. The header lists the tensors in the order given; their data are laid out by
/// falling element size, so that each is aligned to its element. The same input gives the same
/// bytes; `name` stands for the file in messages. Throws Error{internal} when a shape disagrees
/// with its data or a name stands twice, and what `sink` throws.
void encode_safetensors(std::string_view name, std::span<const TensorView> tensors,
                        const Metadata& metadata, const std::function<void(ByteView)>& sink);

/// Writes `tensors` to `path` atomically and durably (io/file.h). Throws Error{io} as write_file
/// does, Error{internal} as encode_safetensors does.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                       const Metadata& metadata = {});

}  // namespace fatwood
