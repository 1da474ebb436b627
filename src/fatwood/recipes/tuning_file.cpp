#include <cstdlib>

#include <fatwood/io/cache_folder.h>
#include <fatwood/io/file.h>
#include <fatwood/recipes/tuning_file.h>

namespace fatwood {
namespace {

kernels::TuningTable parse_file(const std::filesystem::path& path) {
  return kernels::TuningTable::parse(read_text_file(path, kernels::kMaxTuningBytes), path.string());
}

}  // namespace

TuningPlace tuning_place(const std::string& option) {
  std::string name = option;
  if (name.empty()) {
    if (const char* variable = std::getenv("FATWOOD_TUNING")) name = variable;
  }
  if (name == "none") return {};
  if (!name.empty()) return {name, true};
  const std::filesystem::path folder = cache_folder();
  return {folder.empty() ? folder : folder / "tuning.json", false};
}

TuningPtr load_tuning(const std::string& option) {
  const TuningPlace place = tuning_place(option);
  if (place.path.empty()) return nullptr;
  std::error_code ignored;
  if (!place.named && !std::filesystem::exists(place.path, ignored)) return nullptr;
  return std::make_shared<kernels::TuningTable>(parse_file(place.path));
}

kernels::TuningTable read_tuning_file(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return {};
  return parse_file(path);
}

void add_to_tuning_file(const std::filesystem::path& path,
                        const std::vector<kernels::TuningEntry>& entries) {
  kernels::TuningTable table = read_tuning_file(path);
  for (const kernels::TuningEntry& entry : entries) table.put(entry);
  if (path.has_parent_path()) create_folders(path.parent_path());
  write_file(path, table.text());
}

}  // namespace fatwood
