// JSON texts from files, which may be anything.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace fatwood {

/// `text` as JSON; `watch` sees every part as it is parsed.
/// The parser alone takes a zero byte for the end of the text and passes over whatever follows;
/// here a zero byte is refused like every other control character.
/// @throws nlohmann::json::exception where `text` is no JSON or holds a number out of range
template <typename Json = nlohmann::json>
Json parse_json(std::string_view text, const typename Json::parser_callback_t& watch = nullptr) {
  if (text.find('\0') == std::string_view::npos)
    return Json::parse(text.begin(), text.end(), watch);
  std::string refused(text);
  std::replace(refused.begin(), refused.end(), '\0', '\1');
  return Json::parse(refused, watch);
}

}  // namespace fatwood
