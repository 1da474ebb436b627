#include "config_file.h"

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>

#include <CLI/CLI.hpp>

#include <fatwood/core/error.h>
#include <fatwood/io/file.h>

namespace fatwood::cli {
namespace {

constexpr std::uint64_t kLargestFile = 1 << 20;

// Takes `--config FILE` or `--config=FILE` out of the arguments.
std::optional<std::string> take_config(std::vector<std::string>& arguments) {
  for (auto at = arguments.begin(); at != arguments.end(); ++at) {
    if (at->starts_with("--config=")) {
      std::string path = at->substr(9);
      arguments.erase(at);
      return path;
    }
    if (*at == "--config" && at + 1 != arguments.end()) {
      std::string path = *(at + 1);
      arguments.erase(at, at + 2);
      return path;
    }
  }
  return {};
}

// Whether the value that begins in `line` is a list in brackets that goes on behind it.
bool opens_list(const std::string& line) {
  const std::string text = CLI::detail::trim_copy(line.substr(0, line.find('#')));
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || text.front() == ';') return false;
  const std::string value = CLI::detail::trim_copy(text.substr(equals + 1));
  return value.size() > 1 && value.front() == '[' && value.back() != ']';
}

// CLI11 joins the values of neighbouring lines of one name, as if they were one list: it is given
// one line at a time.
std::vector<CLI::ConfigItem> items_of(const std::string& text) {
  std::vector<CLI::ConfigItem> items;
  std::istringstream lines(text);
  for (std::string entry; std::getline(lines, entry);) {
    if (opens_list(entry)) {
      std::string line;
      while (!line.ends_with(']') && std::getline(lines, line))
        entry += "\n" + CLI::detail::trim(line);
      if (!line.ends_with(']'))
        throw CLI::ParseError("found a list that [ begins, wanted its ]", 2);
    }
    std::istringstream one(entry);
    for (CLI::ConfigItem& item : CLI::ConfigINI().from_config(one))
      items.push_back(std::move(item));
  }
  return items;
}

}  // namespace

std::string config_file_of(std::vector<std::string> arguments) {
  return take_config(arguments).value_or("");
}

std::vector<std::string> arguments_of_config(const std::string& text, const std::string& path) {
  const auto fail = [&path](const std::string& what) {
    throw Error(ErrorKind::usage, "config", path + ": " + what);
  };
  std::vector<std::string> from_file;
  try {
    const std::vector<CLI::ConfigItem> items = items_of(text);
    std::map<std::string, const CLI::ConfigItem*> last;
    for (const CLI::ConfigItem& item : items) last[item.name] = &item;
    for (const CLI::ConfigItem& item : items) {
      if (!item.parents.empty())
        fail("[" + item.parents.front() + "], wanted lines `name = value` and no sections");
      if (item.inputs.empty() || item.inputs.front().empty()) fail(item.name + " has no value");
      if (item.name == "config") fail("config names another file, wanted options alone");
      if (last[item.name] != &item) continue;
      const std::string& value = item.inputs.front();
      if (item.inputs.size() > 1) {
        std::string joined = value;
        for (std::size_t i = 1; i < item.inputs.size(); ++i) joined += "," + item.inputs[i];
        from_file.push_back("--" + item.name + "=" + joined);
      } else if (value == "true") {
        from_file.push_back("--" + item.name);
      } else if (value != "false") {
        from_file.push_back("--" + item.name + "=" + value);
      }
    }
  } catch (const CLI::Error& error) {
    fail(error.what());
  }
  return from_file;
}

std::vector<std::string> with_config_file(std::vector<std::string> arguments) {
  const std::optional<std::string> path = take_config(arguments);
  if (!path) return arguments;
  if (take_config(arguments))
    throw Error(ErrorKind::usage, "config", "found two files of options, wanted one");
  std::string text;
  try {
    text = read_text_file(*path, kLargestFile);
  } catch (const Error& error) {
    throw Error(ErrorKind::usage, "config", error.what());
  }
  const std::vector<std::string> from_file = arguments_of_config(text, *path);
  // Behind the command, which is the first argument.
  const auto behind_command =
      arguments.begin() + std::min<std::ptrdiff_t>(1, std::ssize(arguments));
  arguments.insert(behind_command, from_file.begin(), from_file.end());
  return arguments;
}

}  // namespace fatwood::cli
