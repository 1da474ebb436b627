// Where progress goes: a file descriptor that may be a terminal. Says whether lines can be drawn
// again in place, how large the window is, and whether colour and block characters are welcome.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fatwood {

struct WindowSize {
  int columns = 80;
  int rows = 24;
};

/// What a stream can show.
struct TerminalTraits {
  bool redraws = false;  ///< cursor control works: lines may be drawn again in place
  bool colour = false;   ///< colours are supported and NO_COLOR is not set
  bool unicode = true;   ///< block and braille characters can be shown
};

/// A copy refers to the same stream.
class Terminal {
 public:
  /// The stream `fd`, which must stay open. Traits come from isatty and the environment: TERM
  /// ("dumb" and unset redraw nothing, "linux" has no braille), NO_COLOR (https://no-color.org)
  /// and the locale's character set. COLUMNS and LINES overrule the size of the window.
  explicit Terminal(int fd);

  /// Appends to `text`, for tests and for rendering to a string.
  Terminal(std::string& text, TerminalTraits traits, WindowSize size)
      : text_(&text), traits_(traits), size_(size) {}

  const TerminalTraits& traits() const { return traits_; }

  /// Asks the window each time, since it can be resized: about a microsecond.
  WindowSize size() const;

  /// Writes everything in one call where the system allows. A stream that refuses (a closed pipe)
  /// is ignored: progress must not end a training run.
  void write(std::string_view text) const;

 private:
  int fd_ = -1;
  std::string* text_ = nullptr;
  TerminalTraits traits_;
  std::optional<WindowSize> size_;
};

/// Colours by role, so that every display speaks the same ones.
enum class Tint { none, done, attention, failure, faint, train, evaluation };

/// `text` between the escape sequences of `tint`; `text` itself without `colour`.
std::string tinted(std::string_view text, Tint tint, bool colour);

}  // namespace fatwood
