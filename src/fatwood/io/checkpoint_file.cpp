#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <system_error>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/text.h>
#include <fatwood/io/checkpoint_file.h>
#include <fatwood/io/file.h>
#include <fatwood/io/sha256.h>

namespace fatwood {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kSuffix = ".safetensors";
constexpr int kDigits = 8;
constexpr const char* kAbout = "fatwood.checkpoint";
constexpr const char* kDigest = "digest";
constexpr std::uint64_t kMaxBytes = std::uint64_t{64} << 30;

using Digest = Sha256::Digest;

[[noreturn]] void fail(const std::string& name, const std::string& what) {
  throw Error(ErrorKind::data, "read_checkpoint", name + ": " + what);
}

template <class Word>
bool all_finite(ByteView bytes, Word exponent) {
  bool finite = true;
  for (std::size_t at = 0; at + sizeof(Word) <= bytes.size(); at += sizeof(Word)) {
    Word word;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    finite &= (word & exponent) != exponent;
  }
  return finite;
}

bool all_finite(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::f32:
    case DType::c64:
      return all_finite<std::uint32_t>(tensor.data, 0x7f800000);
    case DType::f64:
      return all_finite<std::uint64_t>(tensor.data, 0x7ff0000000000000);
    case DType::f16:
      return all_finite<std::uint16_t>(tensor.data, 0x7c00);
    case DType::bf16:
      return all_finite<std::uint16_t>(tensor.data, 0x7f80);
    default:
      return true;
  }
}

// The digest that stands at the end of a file, after it has been found to be that of the rest.
Digest checked_digest(const std::string& path, ByteView file) {
  Digest stored{};
  if (file.size() < stored.size()) fail(path, counted(file.size(), "byte") + ", no checkpoint");
  const ByteView body = file.first(file.size() - stored.size());
  std::copy(file.begin() + static_cast<std::ptrdiff_t>(body.size()), file.end(), stored.begin());
  Sha256 sha;
  sha.update(body);
  if (sha.finish() != stored) {
    fail(path, "its SHA-256 is not that of its content: damaged, truncated, or no checkpoint");
  }
  return stored;
}

}  // namespace

void write_checkpoint(const fs::path& path, std::span<const TensorView> tensors,
                      const nlohmann::json& about) {
  for (const TensorView& tensor : tensors) {
    if (!all_finite(tensor)) {
      throw Error(ErrorKind::diverged, "write_checkpoint",
                  path.string() + ": " + tensor.name + " holds a number that is not finite");
    }
  }
  Digest digest{};
  std::vector<TensorView> all(tensors.begin(), tensors.end());
  // The last of the tensors of one byte an element: its data end the file.
  all.push_back({kDigest, DType::u8, {static_cast<std::int64_t>(digest.size())}, digest});
  AtomicFile output(path);
  Sha256 sha;
  encode_safetensors(path.string(), all, {{kAbout, about.dump()}}, [&](ByteView bytes) {
    if (bytes.data() == digest.data()) {
      digest = sha.finish();
    } else {
      sha.update(bytes);
    }
    output.write(bytes);
  });
  output.commit();
  try {
    if (checked_digest(path.string(), read_file(path, kMaxBytes)) == digest) return;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) throw;
  }
  throw Error(ErrorKind::io, "write_checkpoint",
              path.string() + ": what was read back is not what was written");
}

CheckpointFile read_checkpoint(const fs::path& path) {
  return parse_checkpoint(read_file(path, kMaxBytes), path.string());
}

CheckpointFile parse_checkpoint(Bytes bytes, const std::string& path) {
  checked_digest(path, bytes);
  Safetensors tensors = Safetensors::parse(std::move(bytes), path);
  const auto about = tensors.metadata().find(kAbout);
  if (about == tensors.metadata().end())
    fail(path, "no checkpoint: its metadata lack " + std::string(kAbout));
  try {
    CheckpointFile file{std::move(tensors), parse_json(about->second)};
    const nlohmann::json& format = file.about.at("format");
    if (!format.is_number_integer()) {
      fail(path,
           "what it says of itself cannot be read: its format is " + one_line(format.dump(), 40));
    }
    if (format != kCheckpointFormat) {
      fail(path, "format " + one_line(format.dump(), 40) + ", wanted " +
                     std::to_string(kCheckpointFormat) + ": written by another version of fatwood");
    }
    return file;
  } catch (const nlohmann::json::exception& error) {
    fail(path, std::string("what it says of itself cannot be read: ") + error.what());
  }
}

std::string checkpoint_name(std::int64_t step) {
  std::string digits = std::to_string(step);
  digits.insert(
      0, static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, kDigits - std::ssize(digits))), '0');
  return std::string(kPrefix) + digits + std::string(kSuffix);
}

std::vector<ListedCheckpoint> list_checkpoints(const fs::path& folder) {
  std::vector<ListedCheckpoint> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const char* begin = name.data() + kPrefix.size();
    const char* end = name.data() + name.size() - kSuffix.size();
    std::int64_t step = -1;
    const auto result = std::from_chars(begin, end, step);
    if (result.ec == std::errc() && result.ptr == end && step >= 0)
      found.push_back({entry.path(), step});
  }
  std::sort(found.begin(), found.end(),
            [](const ListedCheckpoint& a, const ListedCheckpoint& b) { return a.step > b.step; });
  return found;
}

}  // namespace fatwood
