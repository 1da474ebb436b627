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
#include <string_view>

#include <fatwood/core/error.h>
#include <fatwood/report/html.h>
#include <fatwood/report/run_record.h>

#include "support/temporary_folder.h"

namespace {

constexpr std::array kFiles{"args.json", "summary.json", "predictions.json", "lr_find.json",
                            "rows.jsonl"};
constexpr int kReports = 250;
constexpr const char* kRows =
    R"({"type":"run","format":1,"model":"cnn","epochs":1,"batches":1,"layers":[{"name":"a","kind":"Conv"}]}
{"type":"batch","step":0,"epoch":0,"batch":0,"size":4,"loss":2.5,"lr":0.01,"timing":{"elapsed_s":0.1}}
{"type":"stats","step":0,"epoch":0,"mode":"train","mean":[0.1],"std":[1],"hist":[[5,3,1]]}
{"type":"epoch","epoch":0,"mode":"eval","step":1,"size":4,"metrics":{"accuracy":0.5,"loss":2.4},"timing":{"elapsed_s":0.2}}
)";

void write(const std::filesystem::path& file, std::string_view text) {
  std::ofstream out(file, std::ios::binary);
  out << text << std::flush;
  if (!out) std::abort();  // the reader would see another file than the one on trial
}

fatwood::TemporaryFolder& run_folder() {
  static fatwood::TemporaryFolder folder;
  return folder;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::filesystem::path& folder = run_folder().path();
  if (size == 0) return 0;
  write(folder / kFiles.back(), kRows);
  const std::filesystem::path file = folder / kFiles[data[0] % kFiles.size()];
  write(file, {reinterpret_cast<const char*>(data + 1), size - 1});
  try {
    const fatwood::RunRecord record = fatwood::read_run(folder);
    if (data[0] >= kReports && fatwood::html_report({&record, 1}).empty()) std::abort();
  } catch (const fatwood::Error& error) {
    if (error.kind() != fatwood::ErrorKind::data) std::abort();
  }
  std::filesystem::remove(file);
  return 0;
}
