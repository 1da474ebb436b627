// libFuzzer target: read_json_line, the reader of a run's rows. A row that is read must be written
// as a line that is read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <fatwood/core/error.h>
#include <fatwood/core/rows_io.h>

namespace {

struct Writer : fatwood::RowSink {
  void begin(const fatwood::RunRow& row) override { line = fatwood::to_json_line(row); }
  void batch(const fatwood::BatchRow& row) override { line = fatwood::to_json_line(row); }
  void stats(const fatwood::StatsRow& row) override { line = fatwood::to_json_line(row); }
  void epoch(const fatwood::EpochRow& row) override { line = fatwood::to_json_line(row); }
  void event(const fatwood::EventRow& row) override { line = fatwood::to_json_line(row); }
  void end(const fatwood::EndRow& row) override { line = fatwood::to_json_line(row); }

  std::string line;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Writer first;
  try {
    fatwood::read_json_line(std::string(reinterpret_cast<const char*>(data), size), first);
  } catch (const fatwood::Error& error) {
    if (error.kind() != fatwood::ErrorKind::data) std::abort();
    return 0;
  }
  if (first.line.empty()) return 0;
  Writer second;
  fatwood::read_json_line(first.line, second);
  if (second.line != first.line) std::abort();
  return 0;
}
