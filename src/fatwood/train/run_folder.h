// RunFolder: where a run's record lives. Created once everything else is known to be good, locked
// while the run goes on, refused when another run is in it. The files are those of
// docs/run-folder.md.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include <fatwood/core/rows.h>
#include <fatwood/io/append_file.h>
#include <fatwood/io/file_lock.h>

namespace fatwood {

class RunFolder {
 public:
  /// Creates and locks `path`. A folder that holds a run is refused unless `overwrite`, which
  /// removes that run's files; a folder that holds anything else is refused in any case, and one in
  /// which a run goes on too. Throws Error{usage} for those, Error{io} when the file system
  /// refuses.
  RunFolder(std::filesystem::path path, bool overwrite);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const std::string& name) const { return path_ / name; }

  /// Writes `args.json`, whole or not at all.
  void write_args(const nlohmann::json& args);
  void write_json(const std::string& name, const nlohmann::json& json);

  /// A sink that appends to `rows.jsonl` as rows come and to `summary.csv` epoch by epoch. Keeps
  /// the folder locked as long as it lives.
  std::shared_ptr<RowSink> rows();

 private:
  std::filesystem::path path_;
  std::shared_ptr<FileLock> lock_;
};

}  // namespace fatwood
