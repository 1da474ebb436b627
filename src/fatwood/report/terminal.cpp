#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fatwood/report/terminal.h>

namespace fatwood {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// A locale that names no character set, or another one than UTF-8, cannot show our bars. No locale
// at all is common in containers, whose terminals do speak UTF-8.
bool locale_speaks_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    std::string locale = environment(name);
    if (locale.empty()) continue;
    std::transform(locale.begin(), locale.end(), locale.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return locale.find("UTF-8") != std::string::npos || locale.find("UTF8") != std::string::npos;
  }
  return true;
}

// 0 when the variable holds no sensible size.
int environment_size(const char* name) {
  const std::string text = environment(name);
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value >= 1 && value <= 10000 ? value : 0;
}

}  // namespace

Terminal::Terminal(int fd) : fd_(fd) {
  const std::string term = environment("TERM");
  const bool capable = isatty(fd) == 1 && !term.empty() && term != "dumb";
  traits_ = {.redraws = capable,
             .colour = capable && environment("NO_COLOR").empty(),
             .unicode = term != "linux" && locale_speaks_utf8()};
}

WindowSize Terminal::size() const {
  if (size_) return *size_;
  WindowSize size;
  winsize window{};
  if (ioctl(fd_, TIOCGWINSZ, &window) == 0) {
    if (window.ws_col > 0) size.columns = window.ws_col;
    if (window.ws_row > 0) size.rows = window.ws_row;
  }
  if (const int columns = environment_size("COLUMNS")) size.columns = columns;
  if (const int rows = environment_size("LINES")) size.rows = rows;
  return size;
}

void Terminal::write(std::string_view text) const {
  if (text_ != nullptr) {
    text_->append(text);
    return;
  }
  while (!text.empty()) {
    const ssize_t written = ::write(fd_, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::string tinted(std::string_view text, Tint tint, bool colour) {
  if (!colour || tint == Tint::none || text.empty()) return std::string(text);
  const char* code = "";
  switch (tint) {
    case Tint::none:
      break;
    case Tint::done:
      code = "32";
      break;
    case Tint::attention:
      code = "33";
      break;
    case Tint::failure:
      code = "31";
      break;
    case Tint::faint:
      code = "2";
      break;
    case Tint::train:
      code = "36";
      break;
    case Tint::evaluation:
      code = "35";
      break;
  }
  return "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m";
}

}  // namespace fatwood
