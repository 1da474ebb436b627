#include <cstdlib>
#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <fatwood/report/terminal.h>

namespace fatwood {
namespace {

/// Sets environment variables for one test; nullptr unsets.
class Environment {
 public:
  Environment(std::initializer_list<std::pair<const char*, const char*>> settings) {
    for (const auto& [name, value] : settings) {
      const char* before = std::getenv(name);
      saved_.emplace_back(name, before == nullptr ? std::optional<std::string>{} : before);
      set(name, value);
    }
  }
  ~Environment() {
    for (const auto& [name, value] : saved_) set(name.c_str(), value ? value->c_str() : nullptr);
  }

 private:
  static void set(const char* name, const char* value) {
    if (value == nullptr) {
      unsetenv(name);
    } else {
      setenv(name, value, 1);
    }
  }
  std::vector<std::pair<std::string, std::optional<std::string>>> saved_;
};

/// The slave side of a pseudo terminal.
class PseudoTerminal {
 public:
  PseudoTerminal() : master_(posix_openpt(O_RDWR | O_NOCTTY)) {
    if (master_ >= 0 && grantpt(master_) == 0 && unlockpt(master_) == 0)
      slave_ = open(ptsname(master_), O_RDWR | O_NOCTTY);
  }
  ~PseudoTerminal() {
    if (slave_ >= 0) close(slave_);
    if (master_ >= 0) close(master_);
  }
  int fd() const { return slave_; }

 private:
  int master_ = -1;
  int slave_ = -1;
};

TEST(Terminal, a_pipe_neither_redraws_nor_colours) {
  const Environment environment{{"TERM", "xterm"}, {"NO_COLOR", nullptr}};
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const Terminal terminal(ends[1]);
  EXPECT_FALSE(terminal.traits().redraws);
  EXPECT_FALSE(terminal.traits().colour);
  terminal.write("x\n");
  char text[2];
  EXPECT_EQ(read(ends[0], text, 2), 2);
  close(ends[0]);
  close(ends[1]);
}

TEST(Terminal, a_terminal_redraws_and_colours_unless_it_is_dumb_or_colour_is_unwelcome) {
  const PseudoTerminal pseudo;
  ASSERT_GE(pseudo.fd(), 0);
  {
    const Environment environment{{"TERM", "xterm"}, {"NO_COLOR", nullptr}};
    EXPECT_TRUE(Terminal(pseudo.fd()).traits().redraws);
    EXPECT_TRUE(Terminal(pseudo.fd()).traits().colour);
  }
  {
    const Environment environment{{"TERM", "xterm"}, {"NO_COLOR", "1"}};
    EXPECT_TRUE(Terminal(pseudo.fd()).traits().redraws);
    EXPECT_FALSE(Terminal(pseudo.fd()).traits().colour);
  }
  {
    const Environment environment{{"TERM", "dumb"}, {"NO_COLOR", nullptr}};
    EXPECT_FALSE(Terminal(pseudo.fd()).traits().redraws);
  }
}

TEST(Terminal, block_characters_follow_the_character_set) {
  const auto unicode_with = [](const char* all, const char* lang) {
    const Environment environment{
        {"TERM", "xterm"}, {"LC_ALL", all}, {"LC_CTYPE", nullptr}, {"LANG", lang}};
    return Terminal(STDERR_FILENO).traits().unicode;
  };
  EXPECT_TRUE(unicode_with(nullptr, nullptr));
  EXPECT_TRUE(unicode_with(nullptr, "de_DE.utf8"));
  EXPECT_FALSE(unicode_with(nullptr, "C"));
  EXPECT_FALSE(unicode_with("C", "en_GB.UTF-8"));
  EXPECT_TRUE(unicode_with("C.UTF-8", "C"));
}

TEST(Terminal, the_environment_overrules_the_size_of_the_window) {
  const Environment environment{{"COLUMNS", "132"}, {"LINES", "-3"}};
  EXPECT_EQ(Terminal(-1).size().columns, 132);
  EXPECT_EQ(Terminal(-1).size().rows, 24);
}

TEST(Terminal, tinted_text_is_plain_without_colour) {
  EXPECT_EQ(tinted("x", Tint::failure, false), "x");
  EXPECT_EQ(tinted("x", Tint::failure, true), "\x1b[31mx\x1b[0m");
  EXPECT_EQ(tinted("", Tint::failure, true), "");
}

}  // namespace
}  // namespace fatwood
