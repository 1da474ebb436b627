#include <algorithm>
#include <bit>
#include <cstring>
#include <fcntl.h>
#include <numeric>
#include <utility>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/io/file.h>
#include <fatwood/io/safetensors.h>
#include <fatwood/io/safetensors_header.h>

namespace fatwood {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little endian");

constexpr std::uint64_t kLengthBytes = 8;  // the header's length, in front of it
constexpr std::uint64_t kAlignment = 8;    // of the data within the file

[[noreturn]] void fail_safetensors(std::string_view name, const std::string& what) {
  throw Error(ErrorKind::data, "read_safetensors", std::string(name) + ": " + what);
}

// The header's length from a file's first bytes, checked against the file and the limit.
std::uint64_t header_length(ByteView start, std::uint64_t file_bytes, std::string_view name,
                            const SafetensorsLimits& limits) {
  if (file_bytes > limits.file_bytes) {
    fail_safetensors(name, counted(file_bytes, "byte") + ", wanted at most " +
                               std::to_string(limits.file_bytes));
  }
  if (start.size() < kLengthBytes) {
    fail_safetensors(name, counted(start.size(), "byte") + ", too short for a safetensors file");
  }
  std::uint64_t length = 0;
  std::memcpy(&length, start.data(), kLengthBytes);
  if (length > limits.header_bytes) {
    fail_safetensors(name, "a header of " + counted(length, "byte") + ", wanted at most " +
                               std::to_string(limits.header_bytes) + " (no safetensors file?)");
  }
  if (length > file_bytes - kLengthBytes) {
    fail_safetensors(name, "a header of " + counted(length, "byte") + " in a file of " +
                               std::to_string(file_bytes) + ": truncated?");
  }
  return length;
}

struct ReadHeader {
  SafetensorsHeader header;
  std::uint64_t data_bytes = 0;  // behind it
};

// The file stands behind the header then.
ReadHeader read_header(const Descriptor& file, const SafetensorsLimits& limits) {
  const std::string name = file.path().string();
  const std::uint64_t file_bytes = file.regular_file_size();
  Bytes text(kLengthBytes);
  text.resize(file.read(text));
  const std::uint64_t length = header_length(text, file_bytes, name, limits);
  text.resize(length);
  if (file.read(text) != length) fail_safetensors(name, "shrinks while it is read");
  const std::uint64_t data_bytes = file_bytes - kLengthBytes - length;
  return {parse_safetensors_header(text, data_bytes, name, limits), data_bytes};
}

std::vector<TensorView> views_of(SafetensorsHeader& header, ByteView data) {
  std::vector<TensorView> tensors;
  tensors.reserve(header.entries.size());
  for (SafetensorsEntry& entry : header.entries) {
    tensors.push_back({std::move(entry.name), entry.dtype, std::move(entry.shape),
                       data.subspan(entry.begin, entry.end - entry.begin)});
  }
  return tensors;
}

}  // namespace

Safetensors::Safetensors(Bytes data, SafetensorsHeader header, std::uint64_t data_begin)
    : data_(std::move(data)),
      tensors_(views_of(header, ByteView(data_).subspan(data_begin))),
      metadata_(std::move(header.metadata)) {
  for (std::size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

Safetensors Safetensors::read(const std::filesystem::path& path, const SafetensorsLimits& limits) {
  const Descriptor file("read_safetensors", path, O_RDONLY | O_NONBLOCK);
  auto [header, data_bytes] = read_header(file, limits);
  Bytes data(data_bytes);
  if (file.read(data) != data_bytes) fail_safetensors(path.string(), "shrinks while it is read");
  return {std::move(data), std::move(header), 0};
}

void Safetensors::check_header(const std::filesystem::path& path, const SafetensorsLimits& limits) {
  read_header(Descriptor("read_safetensors", path, O_RDONLY | O_NONBLOCK), limits);
}

Safetensors Safetensors::parse(Bytes file, std::string_view name, const SafetensorsLimits& limits) {
  const std::uint64_t length = header_length(file, file.size(), name, limits);
  const std::uint64_t data_begin = kLengthBytes + length;
  SafetensorsHeader header = parse_safetensors_header(ByteView(file).subspan(kLengthBytes, length),
                                                      file.size() - data_begin, name, limits);
  return {std::move(file), std::move(header), data_begin};
}

const TensorView* Safetensors::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

void encode_safetensors(std::string_view name, std::span<const TensorView> tensors,
                        const Metadata& metadata, const std::function<void(ByteView)>& sink) {
  const std::string file(name);
  std::vector<std::size_t> layout(tensors.size());
  std::iota(layout.begin(), layout.end(), std::size_t{0});
  std::stable_sort(layout.begin(), layout.end(), [&](std::size_t a, std::size_t b) {
    return size_of(tensors[a].dtype) > size_of(tensors[b].dtype);
  });
  std::vector<std::uint64_t> begin(tensors.size());
  std::uint64_t end = 0;
  for (const std::size_t i : layout) {
    begin[i] = end;
    end += tensors[i].data.size();
  }

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const TensorView& tensor = tensors[i];
    const std::string where = file + ": " + printable(tensor.name);
    if (const std::uint64_t wanted = tensor_bytes(tensor.dtype, tensor.shape, where);
        tensor.data.size() != wanted) {
      throw Error(ErrorKind::internal, "write_safetensors",
                  where + ": " + counted(tensor.data.size(), "byte") + ", wanted " +
                      std::to_string(wanted));
    }
    if (tensor.name == "__metadata__" || header.contains(tensor.name)) {
      throw Error(ErrorKind::internal, "write_safetensors", where + ": the name is taken");
    }
    header[tensor.name] = {{"dtype", name_of(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {begin[i], begin[i] + tensor.data.size()}}};
  }
  std::string text(kLengthBytes, '\0');
  try {
    text += header.dump();
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorKind::internal, "write_safetensors",
                file + ": a name or the metadata is not valid UTF-8");
  }
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  const std::uint64_t length = text.size() - kLengthBytes;
  std::memcpy(text.data(), &length, kLengthBytes);

  sink(as_bytes(text));
  for (const std::size_t i : layout) sink(tensors[i].data);
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors,
                       const Metadata& metadata) {
  AtomicFile output(path);
  encode_safetensors(path.string(), tensors, metadata,
                     [&output](ByteView bytes) { output.write(bytes); });
  output.commit();
}

}  // namespace fatwood
