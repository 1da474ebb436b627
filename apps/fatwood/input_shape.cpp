#include "input_shape.h"

#include <algorithm>

#include <fatwood/core/error.h>

namespace fatwood::cli {

std::vector<std::int64_t> parse_input_shape(const std::string& text, const char* command) {
  std::vector<std::int64_t> shape;
  std::size_t at = 0;
  const auto fail = [&] {
    throw Error(ErrorKind::usage, command, "--input \"" + text + "\", wanted CxHxW, as in 1x28x28");
  };
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find('x', at), text.size());
    const std::string part = text.substr(at, end - at);
    if (part.empty() || part.size() > 6 ||
        part.find_first_not_of("0123456789") != std::string::npos)
      fail();
    shape.push_back(std::stoll(part));
    if (shape.back() < 1) fail();
    at = end + 1;
  }
  if (shape.size() != 3) fail();
  return shape;
}

}  // namespace fatwood::cli
