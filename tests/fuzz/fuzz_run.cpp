// libFuzzer target: read_run, the reader of a run's folder. The first byte chooses which of the
// folder's files the others are, beside rows as a run leaves them, and whether a report is made
// too, which takes a hundred times as long.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include <fatwood/core/error.h>
#include <fatwood/report/html.h>
#include <fatwood/report/run_record.h>

namespace {

constexpr std::array kFiles{"args.json", "summary.json", "predictions.json", "lr_find.json",
                            "rows.jsonl"};
constexpr int kReports = 250;
constexpr const char* kRows =
    R"({"type":"run","format":1,"model":"cnn","epochs":1,"batches":1,"layers":[{"name":"a","kind":"Conv"}]}
{"type":"batch","step":0,"epoch":0,"batch":0,"loss":2.5,"lr":0.01,"timing":{"elapsed_s":0.1}}
)";

void write(const std::filesystem::path& file, const char* text, std::size_t size) {
  std::ofstream(file, std::ios::binary).write(text, static_cast<std::streamsize>(size));
}

/// A folder of this process's own, with rows.
std::filesystem::path make_folder() {
  std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("fatwood-fuzz-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  write(folder / kFiles.back(), kRows, std::string(kRows).size());
  return folder;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::filesystem::path folder = make_folder();
  if (size == 0) return 0;
  const std::filesystem::path file = folder / kFiles[data[0] % kFiles.size()];
  write(file, reinterpret_cast<const char*>(data + 1), size - 1);
  try {
    const fatwood::RunRecord record = fatwood::read_run(folder);
    if (data[0] >= kReports && fatwood::html_report({&record, 1}).empty()) std::abort();
  } catch (const fatwood::Error& error) {
    if (error.kind() != fatwood::ErrorKind::data) std::abort();
  }
  if (file.filename() == kFiles.back()) {
    write(file, kRows, std::string(kRows).size());
  } else {
    std::filesystem::remove(file);
  }
  return 0;
}
