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
constexpr std::uint64_t kMaxBytes = SafetensorsLimits{}.file_bytes;

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
    case DType::f8_e5m2:
      return all_finite<std::uint8_t>(tensor.data, 0x7c);
    case DType::f8_e4m3:  // no infinities, and NaN alone has all bits set
      return all_finite<std::uint8_t>(tensor.data, 0x7f);
    case DType::f8_e4m3fnuz:  // the two have one NaN alone, where the others have minus zero
    case DType::f8_e5m2fnuz:
      return !std::count(tensor.data.begin(), tensor.data.end(), 0x80);
    case DType::f8_e8m0:
      return !std::count(tensor.data.begin(), tensor.data.end(), 0xff);
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

// What a checkpoint says of itself as text, refused where readers would refuse it: before anything
// is written, so that no good checkpoint makes room for one that nobody reads.
std::string checked_text(const nlohmann::json& about, const fs::path& path) {
  const auto refuse = [&path](const std::string& found, const std::string& wanted) {
    throw Error(ErrorKind::data, "write_checkpoint",
                path.string() + ": what it says of itself " + found + ", wanted " + wanted);
  };
  std::string text = json_text(about);
  constexpr std::size_t kMost = SafetensorsLimits{}.token_bytes / 2;  // in the file, quotes are two
  if (text.size() > kMost)
    refuse("has " + counted(text.size(), "byte"), "at most " + std::to_string(kMost));
  try {
    parse_json(text);
  } catch (const nlohmann::json::exception&) {
    refuse("is nested too deeply or holds a zero byte",
           "at most " + std::to_string(kDeepestJson) + " levels");
  }
  return text;
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
  const std::string text = checked_text(about, path);
  Digest digest{};
  std::vector<TensorView> all(tensors.begin(), tensors.end());
  // The last of the tensors of one byte an element: its data end the file.
  all.push_back({kDigest, DType::u8, {static_cast<std::int64_t>(digest.size())}, digest});
  AtomicFile output(path);
  Sha256 sha;
  encode_safetensors(path.string(), all, {{kAbout, text}}, [&](ByteView bytes) {
    if (bytes.data() == digest.data()) {
      digest = sha.finish();
    } else {
      sha.update(bytes);
    }
    output.write(bytes);
  });
  output.commit();
  std::string why = "another checkpoint";
  try {
    Bytes bytes = read_file(path, kMaxBytes);
    const bool same = checked_digest(path.string(), bytes) == digest;
    Safetensors::parse(std::move(bytes), path.string());  // as readers will
    if (same) return;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::data) throw;
    why = error.what();
  }
  throw Error(ErrorKind::io, "write_checkpoint",
              path.string() + ": what was read back is not what was written: " + why);
}

CheckpointFile read_checkpoint(const fs::path& path) {
  Safetensors::check_header(path);  // before there is memory for all that the file claims to hold
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
  const auto check = [&] {
    // To take a folder that cannot be read for an empty one would be to begin a run again.
    if (error && error != std::errc::no_such_file_or_directory)
      throw_io_error("list_checkpoints", folder, "readdir", error.value());
  };
  fs::directory_iterator at(folder, error);
  for (check(); !error && at != fs::directory_iterator(); at.increment(error), check()) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const char* begin = name.data() + kPrefix.size();
    const char* end = name.data() + name.size() - kSuffix.size();
    std::int64_t step = -1;
    const auto result = std::from_chars(begin, end, step);
    if (result.ec == std::errc() && result.ptr == end && step >= 0)
      found.push_back({at->path(), step});
  }
  std::sort(found.begin(), found.end(),
            [](const ListedCheckpoint& a, const ListedCheckpoint& b) { return a.step > b.step; });
  return found;
}

}  // namespace fatwood
