#include <array>

#include <fatwood/core/error.h>
#include <fatwood/core/json.h>
#include <fatwood/core/text.h>

namespace fatwood {

std::size_t refused_in_json(std::string_view text, std::size_t most_keys) {
  std::array<std::size_t, kDeepestJson + 1> keys{};  // of the object open at each level
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\0') return i;
    if (in_string) {
      if (c == '\\') ++i;  // what follows ends no string; a zero byte there is no escape either
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepestJson) return i;
      keys[depth] = 0;
    } else if (c == ']' || c == '}') {
      if (depth-- == 0) return i;
    } else if (c == ':') {
      if (++keys[depth] > most_keys) return i;
    }
  }
  return std::string_view::npos;
}

void refuse_integer(std::string_view operation, const std::string& found) {
  throw Error(ErrorKind::data, operation, "found " + one_line(found, 40) + ", wanted an integer");
}

std::int64_t check_count(std::int64_t count, std::string_view operation) {
  if (count < 0 || count > kMaxCount)
    throw Error(ErrorKind::data, operation,
                "found " + std::to_string(count) + ", wanted a count from 0 to 2^50");
  return count;
}

}  // namespace fatwood
