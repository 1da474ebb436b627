// driver FOLDER [again]: writes with every function of io that promises something, and says on
// standard output what has been promised since. test_io.py cuts it short and holds the folder to
// that; the contents are known there too. With `again` what failed is done once more, as a program
// does that goes on after an error.
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include <fatwood/core/error.h>
#include <fatwood/io/append_file.h>
#include <fatwood/io/file.h>
#include <fatwood/io/safetensors.h>

namespace {

namespace fs = std::filesystem;

void print(int fd, const std::string& line) {
  const std::string text = line + '\n';
  // A test that cannot hear what was said must not go on.
  if (::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
}

void say(const std::string& line) {
  print(STDOUT_FILENO, line);
}

struct Attempt {
  bool again = false;

  template <typename Action>
  void operator()(Action action) const {
    try {
      action();
    } catch (const fatwood::Error& error) {
      if (!again || error.kind() != fatwood::ErrorKind::io) throw;
      action();
    }
  }
};

void write_versions(const fs::path& folder, const Attempt& attempt) {
  int version = 0;
  for (const std::size_t size : {0, 17, 70'000, 4096}) {
    ++version;
    const std::string text = "state " + std::to_string(version) + '\n' +
                             std::string(size, static_cast<char>('a' + version));
    attempt([&] { fatwood::write_file(folder / "state", text); });
    say("state " + std::to_string(version));
  }
}

void append_rows(const fs::path& folder, const Attempt& attempt) {
  std::optional<fatwood::AppendFile> opened;
  attempt([&] { opened.emplace(folder / "rows"); });
  fatwood::AppendFile& rows = *opened;
  std::uint64_t length = 0;
  for (int row = 1; row <= 9; ++row) {
    rows.append_line("row " + std::to_string(row));
    if (row % 3 == 0) {
      attempt([&] { rows.sync(); });
      say("rows " + std::to_string(row));
    }
    if (row == 6) length = rows.length();
  }
  say("cutting rows");
  attempt([&] { rows.truncate_to(length); });
  say("rows cut to 6");
  rows.append_line("another row 7");
  attempt([&] { rows.sync(); });
  say("another row 7");
}

void write_in_pieces(const fs::path& folder, const Attempt& attempt) {
  attempt([&] {
    fatwood::AtomicFile file(folder / "pieces");
    for (char letter = 'a'; letter <= 'e'; ++letter) {
      file.write(fatwood::as_bytes(std::string(1000, letter)));
    }
    file.commit();
  });
  say("pieces");
}

void write_weights(const fs::path& folder, const Attempt& attempt) {
  for (std::uint8_t version = 1; version <= 2; ++version) {
    const std::vector<std::uint8_t> values(300, version);
    const std::vector<fatwood::TensorView> tensors{
        {"layers.0.weight", fatwood::DType::u8, {3, 100}, values}};
    attempt([&] { fatwood::write_safetensors(folder / "weights", tensors); });
    say("weights " + std::to_string(version));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Attempt attempt{.again = argc == 3 && std::string_view(argv[2]) == "again"};
  if (argc != 2 && !attempt.again) {
    print(STDERR_FILENO, "usage: driver FOLDER [again]");
    return static_cast<int>(fatwood::ErrorKind::usage);
  }
  try {
    const fs::path folder = argv[1];
    attempt([&] { fatwood::create_folders(folder); });
    say("folder");
    write_versions(folder, attempt);
    append_rows(folder, attempt);
    write_in_pieces(folder, attempt);
    write_weights(folder, attempt);
  } catch (const fatwood::Error& error) {
    print(STDERR_FILENO, error.what());
    return error.exit_code();
  }
}
