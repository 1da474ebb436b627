#include <cmath>
#include <optional>
#include <set>
#include <vector>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/text.h>
#include <fatwood/kernels/tuning.h>

namespace fatwood::kernels {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kKind = "fatwood tuning";
constexpr std::int64_t kMostImages = 1'000'000;
constexpr std::int64_t kMostExtent = 1'000'000;
constexpr std::int64_t kMostThreads = 1024;
constexpr double kLeastMs = 1e-4;  // the last digit that is written
constexpr double kMostMs = 1e7;
constexpr std::size_t kLongestText = 500;

std::string act(const Activation& activation) {
  if (activation.slope == 1 && activation.subtract == 0) return "";
  return activation.slope == 0 ? ", relu" : ", leaky relu";
}

std::string conv(const ConvSpec& spec) {
  const std::string ks = std::to_string(spec.ks);
  return "conv " + ks + "x" + ks + "/" + std::to_string(spec.stride) + " " +
         std::to_string(spec.c_in) + "->" + std::to_string(spec.c_out) + act(spec.activation) +
         (spec.bias ? ", bias" : "") + (spec.norm ? ", norm" : "");
}

std::string layer(const ConvSpec& spec) {
  return "Conv: " + conv(spec);
}
std::string layer(const ResidualSpec& spec) {
  return "ResidualConvBlock: " + conv(spec.a) + "; " + conv(spec.b) + "; sum" +
         (spec.id_weight ? " with conv 1x1" : "") + act(spec.activation);
}
std::string layer(const DoubleSpec& spec) {
  return "DoubleConvBlock: " + conv(spec.a) + "; " + conv(spec.b);
}
std::string layer(const BasicSpec& spec) {
  return "BasicBlock: " + conv(spec.a) + "; " + conv(spec.b) + "; sum" +
         (spec.down ? " with " + conv(*spec.down) : "") + act(spec.activation);
}
std::string layer(const StemSpec& spec) {
  return "Stem: " + conv(spec.conv) + act(spec.activation) + "; max pool";
}
std::string layer(const HeadSpec& spec) {
  return "Head: mean; linear " + std::to_string(spec.c_in) + "->" + std::to_string(spec.c_out) +
         (spec.bias ? ", bias" : "");
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::data, "read_tuning", what);
}

/// The value as a message shows it.
std::string shown(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array";
  constexpr std::size_t kLongest = 60;
  const std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
  return text.size() > kLongest ? text.substr(0, kLongest) + "…" : text;
}

/// An object's members, each asked for once; `check_all_read` finds those that nobody asked for.
class Members {
 public:
  Members(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) refuse(where_ + ": found " + shown(object) + ", wanted an object");
  }

  const Json& at(const char* name, const std::string& wanted) {
    const auto found = object_.find(name);
    if (found == object_.end()) refuse(where_ + ": found no \"" + name + "\", wanted " + wanted);
    ++read_;
    known_.insert(name);
    return *found;
  }

  std::int64_t count(const char* name, std::int64_t most) {
    const std::string wanted = "a whole number from 1 to " + std::to_string(most);
    const Json& value = at(name, wanted);
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() < 1 ||
        value.get<std::uint64_t>() > static_cast<std::uint64_t>(most))
      wrong(name, value, wanted);
    return value.get<std::int64_t>();
  }

  /// What would be written as 0, which is no table's, is not read.
  double ms(const char* name) {
    const std::string wanted = "milliseconds from 0.0001 to 10,000,000";
    const Json& value = at(name, wanted);
    if (!value.is_number() || !(value.get<double>() >= kLeastMs) ||
        !(value.get<double>() <= kMostMs))
      wrong(name, value, wanted);
    return value.get<double>();
  }

  std::string text(const char* name) {
    const std::string wanted = "a text of up to " + std::to_string(kLongestText) + " bytes";
    const Json& value = at(name, wanted);
    if (!value.is_string() || value.get_ref<const std::string&>().size() > kLongestText)
      wrong(name, value, wanted);
    return value.get<std::string>();
  }

  /// The one of `names` that the member holds, as its position.
  std::size_t one_of(const char* name, const std::vector<std::string_view>& names) {
    std::string wanted;
    for (const std::string_view each : names)
      wanted += (wanted.empty() ? "" : " or ") + std::string(each);
    const Json& value = at(name, wanted);
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (value.is_string() && value.get_ref<const std::string&>() == names[i]) return i;
    }
    wrong(name, value, wanted);
  }

  void check_all_read() const {
    if (read_ == object_.size()) return;
    for (const auto& [name, value] : object_.items()) {
      if (!known_.contains(name))
        refuse(where_ + ": found the key " + shown(name) + ", which this format does not have");
    }
  }

  [[noreturn]] void wrong(const char* name, const Json& value, const std::string& wanted) const {
    refuse(where_ + ": \"" + name + "\": found " + shown(value) + ", wanted " + wanted);
  }

 private:
  const Json& object_;
  std::string where_;
  std::size_t read_ = 0;
  std::set<std::string, std::less<>> known_;
};

/// The text as JSON in which no object has a key twice: the parser alone would take the last.
Json json_of(std::string_view text, const std::string& name) {
  std::vector<std::set<std::string>> open;
  const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) open.emplace_back();
    if (event == Json::parse_event_t::object_end) open.pop_back();
    if (event == Json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second)
      refuse(name + ": the key " + shown(parsed) + " stands twice in one object");
    return true;
  };
  try {
    return parse_json<Json>(text, watch);
  } catch (const Json::parse_error& error) {
    refuse(name + ": found no valid JSON at byte " + std::to_string(error.byte) + " of " +
           std::to_string(text.size()) + ", wanted a table of `fatwood tune`");
  } catch (const Json::exception&) {
    refuse(name + ": found a number that is out of range, wanted a table of `fatwood tune`");
  }
}

TuningEntry entry_of(const Json& json, const std::string& where) {
  Members members(json, where);
  TuningEntry entry;
  TuningKey& key = entry.key;
  key.layer = members.text("layer");
  const std::string three = "[channels, height, width], each from 1 to 1,000,000";
  const Json& input = members.at("input", three);
  if (!input.is_array() || input.size() != 3) members.wrong("input", input, three);
  int* const extents[] = {&key.channels, &key.height, &key.width};
  for (std::size_t i = 0; i < 3; ++i) {
    if (!input[i].is_number_unsigned() || input[i].get<std::uint64_t>() < 1 ||
        input[i].get<std::uint64_t>() > kMostExtent)
      members.wrong("input", input[i], three);
    *extents[i] = input[i].get<int>();
  }
  key.batch = members.count("batch", kMostImages);
  std::vector<std::string_view> names;
  for (const IsaInfo& info : isas()) names.push_back(info.name);
  key.isa = isas()[members.one_of("isa", names)].isa;
  key.threads = static_cast<int>(members.count("threads", kMostThreads));
  key.precision = members.one_of("precision", {name_of(Precision::f32), name_of(Precision::bf16)})
                      ? Precision::bf16
                      : Precision::f32;
  entry.kernels = members.one_of("runs", {"torch", "kernels"}) == 1;
  entry.kernels_ms = members.ms("kernels_ms");
  entry.torch_ms = members.ms("torch_ms");
  entry.cpu = members.text("cpu");
  members.check_all_read();
  return entry;
}

double rounded(double ms) {
  return std::round(ms * 1e4) / 1e4;
}

}  // namespace

TuningKey tuning_key(const LayerSpec& spec, const ImageShape& input, std::int64_t batch, Isa isa,
                     int threads, Precision precision) {
  return {.layer = std::visit([](const auto& of_kind) { return layer(of_kind); }, spec),
          .channels = input.channels,
          .height = input.height,
          .width = input.width,
          .batch = batch,
          .isa = computing_isa(isa, precision),
          .threads = threads,
          .precision = precision};
}

std::string describe(const TuningEntry& entry) {
  return "tuned: kernels " + fixed(entry.kernels_ms, 2) + " ms, LibTorch " +
         fixed(entry.torch_ms, 2) + " ms";
}

TuningTable TuningTable::parse(std::string_view text, std::string_view name) {
  const std::string file(name);
  const Json json = json_of(text, file);
  Members members(json, file);
  members.one_of("kind", {kKind});
  const std::string format = std::to_string(kTuningFormat);
  if (const Json& found = members.at("format", format); found != kTuningFormat)
    members.wrong("format", found, format);
  const Json& entries = members.at("entries", "an array");
  if (!entries.is_array()) members.wrong("entries", entries, "an array");
  members.check_all_read();
  TuningTable table;
  std::size_t number = 0;
  for (const Json& each : entries) {
    const std::string where = file + ": entry " + std::to_string(++number);
    TuningEntry entry = entry_of(each, where);
    TuningKey key = entry.key;
    if (!table.entries_.emplace(std::move(key), std::move(entry)).second)
      refuse(where +
             ": found the layer, input and machine of an entry before it, wanted each once");
  }
  return table;
}

std::string TuningTable::text() const {
  std::string lines;
  for (const auto& [key, entry] : entries_) {
    const Json json{{"layer", key.layer},
                    {"input", {key.channels, key.height, key.width}},
                    {"batch", key.batch},
                    {"isa", std::string(name_of(key.isa))},
                    {"threads", key.threads},
                    {"precision", std::string(name_of(key.precision))},
                    {"runs", entry.kernels ? "kernels" : "torch"},
                    {"kernels_ms", rounded(entry.kernels_ms)},
                    {"torch_ms", rounded(entry.torch_ms)},
                    {"cpu", entry.cpu}};
    lines += (lines.empty() ? "\n  " : ",\n  ") + json.dump();
  }
  return "{\n \"kind\": \"" + std::string(kKind) +
         "\",\n \"format\": " + std::to_string(kTuningFormat) + ",\n \"entries\": [" + lines +
         "\n ]\n}\n";
}

const TuningEntry* TuningTable::find(const TuningKey& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

void TuningTable::put(TuningEntry entry) {
  TuningKey key = entry.key;
  entries_.insert_or_assign(std::move(key), std::move(entry));
}

}  // namespace fatwood::kernels
