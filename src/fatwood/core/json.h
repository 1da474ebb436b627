// JSON texts from files, which may be anything.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <nlohmann/json.hpp>

namespace fatwood {

/// Levels of arrays and objects in each other that are read. What copies and writes JSON calls
/// itself for each, and fatwood's own files have six.
constexpr int kDeepestJson = 64;

/// Keys of one object that keeps their order: it looks through all of them for each.
constexpr std::size_t kMostOrderedKeys = 1024;

/// Where the text has a zero byte, opens a level deeper than kDeepestJson, or has more than
/// `most_keys` in one object; npos if nowhere.
std::size_t refused_in_json(std::string_view text, std::size_t most_keys = std::string_view::npos);

/// `text` as JSON; `watch` sees every part as it is parsed.
/// The parser alone takes a zero byte for the end of the text and passes over whatever follows, any
/// depth, and in ordered JSON any number of keys, in the time of its square; here these are refused
/// where they stand.
/// @throws nlohmann::json::exception where `text` is no such JSON or holds a number out of range
template <typename Json = nlohmann::json>
Json parse_json(std::string_view text, const typename Json::parser_callback_t& watch = nullptr) {
  constexpr bool ordered = std::is_same_v<Json, nlohmann::ordered_json>;
  const std::size_t refused =
      refused_in_json(text, ordered ? kMostOrderedKeys : std::string_view::npos);
  if (refused == std::string_view::npos) return Json::parse(text.begin(), text.end(), watch);
  return Json::parse(std::string(text.substr(0, refused)) + '\1', watch);
}

/// `value` as text, on one line or indented. Bytes that are no UTF-8, as paths may hold, become
/// U+FFFD where the library's own dump() would throw.
template <typename Json>
std::string json_text(const Json& value, int indent = -1) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

[[noreturn]] void refuse_integer(std::string_view operation, const std::string& found);

/// The integer that `value` is. The library's own conversion takes true for 1, 1.5 too, and cuts
/// what does not fit.
/// @throws Error{data}, as of `operation`, for all of these
template <typename Integer, typename Json>
Integer integer_of(const Json& value, std::string_view operation) {
  static_assert(std::is_integral_v<Integer>);
  if (value.is_number_unsigned()) {
    const auto number = value.template get<std::uint64_t>();
    if (std::in_range<Integer>(number)) return static_cast<Integer>(number);
  } else if (value.is_number_integer()) {
    const auto number = value.template get<std::int64_t>();
    if (std::in_range<Integer>(number)) return static_cast<Integer>(number);
  }
  refuse_integer(operation, json_text(value));
}

/// Of anything: exact as a double, and sums of a thousand such counts do not overflow.
inline constexpr std::int64_t kMaxCount = std::int64_t{1} << 50;

/// `count`, where that is one: from 0 to kMaxCount.
/// @throws Error{data}, as of `operation`, otherwise
std::int64_t check_count(std::int64_t count, std::string_view operation);

/// The count that `value` is, an integer from 0 to kMaxCount.
/// @throws Error{data}, as of `operation`, for anything else
template <typename Json>
std::int64_t count_of(const Json& value, std::string_view operation) {
  return check_count(integer_of<std::int64_t>(value, operation), operation);
}

}  // namespace fatwood
