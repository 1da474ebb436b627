// Run folders for tests: what `fatwood train` would leave, with made-up but plausible numbers that
// are functions of the seed alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace fatwood::test {

struct SampleRun {
  std::uint64_t seed = 42;
  std::int64_t epochs = 3;
  std::int64_t batches = 118;
  std::int64_t stop_at = -1;  ///< an interrupt after so many steps
  bool end_record = true;
  std::int64_t hist_period = 8;
  double lr = 0.01;
  std::string model = "residual_cnn";
  bool artefacts = true;  ///< summary, predictions, learning-rate finder
};

/// Writes the folder; an existing one is replaced.
void write_sample_run(const std::filesystem::path& folder, const SampleRun& options = {});

void put_text(const std::filesystem::path& file, const std::string& text);
std::string text_of(const std::filesystem::path& file);

}  // namespace fatwood::test
