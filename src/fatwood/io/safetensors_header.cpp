#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/io/safetensors_header.h>

namespace fatwood {
namespace {

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  std::uint64_t bytes;
};

// In the order of the enumeration.
constexpr std::array kDTypes = {
    DTypeInfo{DType::boolean, "BOOL", 1},
    DTypeInfo{DType::u8, "U8", 1},
    DTypeInfo{DType::i8, "I8", 1},
    DTypeInfo{DType::f8_e4m3, "F8_E4M3", 1},
    DTypeInfo{DType::f8_e4m3fnuz, "F8_E4M3FNUZ", 1},
    DTypeInfo{DType::f8_e5m2, "F8_E5M2", 1},
    DTypeInfo{DType::f8_e5m2fnuz, "F8_E5M2FNUZ", 1},
    DTypeInfo{DType::f8_e8m0, "F8_E8M0", 1},
    DTypeInfo{DType::i16, "I16", 2},
    DTypeInfo{DType::u16, "U16", 2},
    DTypeInfo{DType::f16, "F16", 2},
    DTypeInfo{DType::bf16, "BF16", 2},
    DTypeInfo{DType::i32, "I32", 4},
    DTypeInfo{DType::u32, "U32", 4},
    DTypeInfo{DType::f32, "F32", 4},
    DTypeInfo{DType::i64, "I64", 8},
    DTypeInfo{DType::u64, "U64", 8},
    DTypeInfo{DType::f64, "F64", 8},
    DTypeInfo{DType::c64, "C64", 8},
};

std::optional<DType> dtype_named(std::string_view name) {
  for (const DTypeInfo& info : kDTypes) {
    if (info.name == name) return info.dtype;
  }
  return std::nullopt;
}

constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();

[[noreturn]] void fail_header(const std::string& what) {
  throw Error(ErrorKind::data, "read_safetensors", what);
}

/// Takes the parser's events. The grammar is small: an object of objects, where an object's members
/// are a string, an array of numbers, or (in the metadata) strings. Working on events instead of a
/// parsed tree makes duplicate keys visible and keeps memory to what is wanted.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderHandler(std::string_view file, const SafetensorsLimits& limits)
      : file_(file), limits_(limits) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool start_object(std::size_t) override {
    if (depth_ == 2 || array_ != Array::none) unexpected("an object");
    ++depth_;
    if (depth_ == 2 && !in_metadata_) {
      if (header_.entries.size() == limits_.entries) too_many("tensors");
      header_.entries.push_back({.name = std::exchange(name_, {}), .dtype = {}, .shape = {}});
      seen_dtype_ = seen_shape_ = seen_offsets_ = false;
    }
    return true;
  }

  bool end_object() override {
    if (depth_ == 2 && !in_metadata_) {
      if (!seen_dtype_) fail_header(where() + ": has no \"dtype\"");
      if (!seen_shape_) fail_header(where() + ": has no \"shape\"");
      if (!seen_offsets_) fail_header(where() + ": has no \"data_offsets\"");
    }
    --depth_;
    return true;
  }

  bool key(string_t& text) override {
    if (depth_ == 1) {
      name_ = text;  // copied to its size: the parser's own buffer is up to twice as large
      in_metadata_ = name_ == "__metadata__";
      if (in_metadata_ && std::exchange(seen_metadata_, true)) {
        fail_header(file_ + ": the key " + printable(name_) + " stands twice");
      }
      return true;
    }
    key_ = text;
    if (in_metadata_) {
      if (header_.metadata.size() == limits_.entries) too_many("entries of metadata");
      if (!header_.metadata.emplace(text, "").second) twice();
    } else {
      bool* seen = text == "dtype"          ? &seen_dtype_
                   : text == "shape"        ? &seen_shape_
                   : text == "data_offsets" ? &seen_offsets_
                                            : nullptr;
      if (seen == nullptr) fail_header(where() + ": unknown key " + printable(text));
      if (std::exchange(*seen, true)) twice();
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || array_ != Array::none || key_ == "dtype") {
      unexpected("an array");
    }
    array_ = key_ == "shape" ? Array::shape : Array::offsets;
    offsets_ = 0;
    return true;
  }

  bool end_array() override {
    if (array_ == Array::offsets && offsets_ != 2) {
      fail_header(where() + ": " + counted(offsets_, "number") + " in \"data_offsets\", wanted 2");
    }
    array_ = Array::none;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (array_ == Array::none) unexpected("a number");
    if (value > kLargest)
      fail_header(where() + ": the number " + std::to_string(value) + " is too large");
    SafetensorsEntry& entry = header_.entries.back();
    if (array_ == Array::shape) {
      if (entry.shape.size() == limits_.dimensions) {
        fail_header(where() + ": more than " + counted(limits_.dimensions, "dimension"));
      }
      entry.shape.push_back(static_cast<std::int64_t>(value));
    } else {
      if (offsets_ == 0) entry.begin = value;
      if (offsets_ == 1) entry.end = value;
      ++offsets_;
    }
    return true;
  }

  bool string(string_t& value) override {
    if (depth_ != 2 || array_ != Array::none) unexpected("a string");
    if (in_metadata_) {
      header_.metadata[key_] = value;
      return true;
    }
    if (key_ != "dtype") unexpected("a string");
    const std::optional<DType> dtype = dtype_named(value);
    if (!dtype) fail_header(where() + ": unknown dtype " + printable(value));
    header_.entries.back().dtype = *dtype;
    return true;
  }

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_integer(number_integer_t value) override {
    unexpected("the negative number " + std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& text) override {
    unexpected("the number " + text.substr(0, 30));
  }
  bool binary(binary_t&) override { unexpected("binary data"); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    fail_header(file_ + ": the header is not valid JSON at its byte " + std::to_string(position));
  }

 private:
  enum class Array { none, shape, offsets };

  // The tensor's name is in its entry once that has begun.
  std::string where() const {
    const bool begun = depth_ == 2 && !in_metadata_;
    return file_ + ": " + printable(begun ? header_.entries.back().name : name_);
  }

  [[noreturn]] void unexpected(const std::string& what) const {
    if (depth_ == 0) fail_header(file_ + ": the header is " + what + ", wanted an object");
    if (depth_ == 1) fail_header(where() + ": is " + what + ", wanted an object");
    fail_header(where() + ": " + printable(key_) + " holds " + what);
  }
  [[noreturn]] void twice() const {
    fail_header(where() + ": the key " + printable(key_) + " stands twice");
  }
  [[noreturn]] void too_many(const std::string& what) const {
    fail_header(file_ + ": more than " + std::to_string(limits_.entries) + " " + what);
  }

  std::string file_;
  const SafetensorsLimits& limits_;
  SafetensorsHeader header_;
  std::string name_;
  std::string key_;
  int depth_ = 0;
  bool in_metadata_ = false;
  bool seen_metadata_ = false;
  bool seen_dtype_ = false;
  bool seen_shape_ = false;
  bool seen_offsets_ = false;
  Array array_ = Array::none;
  std::size_t offsets_ = 0;
};

void check_names(const std::vector<SafetensorsEntry>& entries, const std::string& file) {
  std::vector<std::string_view> names;
  names.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) names.push_back(entry.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) fail_header(file + ": the key " + printable(*twice) + " stands twice");
}

// The parser holds a string, a number or a run of blanks several times over while it reads it: long
// ones are refused first. What is no JSON may be measured wrongly here, which does no harm.
void check_tokens(ByteView text, std::size_t limit, const std::string& file) {
  constexpr std::string_view kBetween = "{}[],:";
  std::size_t start = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char character = static_cast<char>(text[i]);
    if (in_string && character == '\\') {
      ++i;
    } else if (character == '"') {
      in_string = !in_string;
      start = i;
    } else if (!in_string && kBetween.find(character) != std::string_view::npos) {
      start = i;
    }
    if (i - start > limit) {
      fail_header(file + ": a string, number or blank of more than " + counted(limit, "byte") +
                  " in the header");
    }
  }
}

// Each tensor's extent is its shape's, and together they fill the data: no holes, no overlaps.
void check_layout(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes,
                  const std::string& file) {
  std::vector<const SafetensorsEntry*> by_place;
  by_place.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) {
    const std::string where = file + ": " + printable(entry.name);
    const std::uint64_t wanted = tensor_bytes(entry.dtype, entry.shape, where);
    if (entry.end < entry.begin || entry.end - entry.begin != wanted) {
      fail_header(where + ": data_offsets " + std::to_string(entry.begin) + " to " +
                  std::to_string(entry.end) + ", wanted " + counted(wanted, "byte"));
    }
    by_place.push_back(&entry);
  }
  std::sort(by_place.begin(), by_place.end(), [](const auto* a, const auto* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t filled = 0;
  for (const SafetensorsEntry* entry : by_place) {
    if (entry->begin != filled) {
      fail_header(file + ": " + printable(entry->name) + ": begins at " +
                  std::to_string(entry->begin) + ", wanted " + std::to_string(filled) +
                  ", where the tensor before it ends");
    }
    filled = entry->end;
  }
  if (filled != data_bytes) {
    fail_header(file + ": " + counted(data_bytes, "byte") + " of data, wanted " +
                std::to_string(filled));
  }
}

}  // namespace

std::string_view name_of(DType dtype) {
  return kDTypes[static_cast<std::size_t>(dtype)].name;
}

std::uint64_t size_of(DType dtype) {
  return kDTypes[static_cast<std::size_t>(dtype)].bytes;
}

std::uint64_t tensor_bytes(DType dtype, const std::vector<std::int64_t>& shape,
                           std::string_view what) {
  // A zero does not excuse the other factors: strides are products too.
  std::uint64_t bytes = size_of(dtype);
  bool empty = false;
  for (const std::int64_t size : shape) {
    empty = empty || size == 0;
    const std::uint64_t factor = std::max<std::int64_t>(size, 1);
    if (size < 0 || factor > kLargest / bytes) {
      fail_header(std::string(what) + ": its shape has more than 2^63 bytes");
    }
    bytes *= factor;
  }
  return empty ? 0 : bytes;
}

SafetensorsHeader parse_safetensors_header(ByteView text, std::uint64_t data_bytes,
                                           std::string_view name, const SafetensorsLimits& limits) {
  const std::string file(name);
  // The parser would pass over a byte order mark and stop at a zero byte as if the text ended.
  if (text.empty() || text[0] != '{') fail_header(file + ": the header does not begin with \"{\"");
  if (std::find(text.begin(), text.end(), std::uint8_t{0}) != text.end()) {
    fail_header(file + ": the header holds a zero byte");
  }
  check_tokens(text, limits.token_bytes, file);
  HeaderHandler handler(name, limits);
  nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &handler);
  SafetensorsHeader header = handler.take();
  check_names(header.entries, file);
  check_layout(header.entries, data_bytes, file);
  return header;
}

}  // namespace fatwood
