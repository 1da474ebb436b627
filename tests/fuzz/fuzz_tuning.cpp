// libFuzzer target: TuningTable::parse. A table that is read must be written as one that is read
// again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <fatwood/core/error.h>
#include <fatwood/kernels/tuning.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using fatwood::kernels::TuningTable;
  TuningTable table;
  try {
    table = TuningTable::parse({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const fatwood::Error& error) {
    if (error.kind() != fatwood::ErrorKind::data) std::abort();
    return 0;
  }
  const std::string text = table.text();
  const TuningTable again = TuningTable::parse(text, "fuzz");
  if (again.text() != text || again.entries().size() != table.entries().size()) std::abort();
  return 0;
}
