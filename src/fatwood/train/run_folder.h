// RunFolder: where a run's record lives. Created once everything else is known to be good, locked
// while the run goes on, refused when another run is in it. The files are those of
// docs/run-folder.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include <fatwood/core/rows.h>
#include <fatwood/io/append_file.h>
#include <fatwood/io/file_lock.h>

namespace fatwood {

/// The rows of a run as files: appended to `rows.jsonl` as they come, to `summary.csv` epoch by
/// epoch.
class RunRows : public RowSink {
 public:
  /// Bytes of `rows.jsonl`: where the next row starts.
  virtual std::uint64_t bytes() const = 0;
  /// All rows so far survive a power failure once this returns. May be called from another thread
  /// than rows come from. Throws Error{io}.
  virtual void sync() = 0;
  /// Throws what cut_to(bytes) would throw of them, and changes nothing.
  virtual void check_cut(std::uint64_t bytes) const = 0;
  /// Drops the rows behind the first `bytes`, durably, and makes `summary.csv` anew from those that
  /// stay. Throws Error{data} when the file is shorter or no row ends there.
  virtual void cut_to(std::uint64_t bytes) = 0;
  /// Hands the rows of the file to `sink`; nothing when that is this object.
  virtual void replay(RowSink& sink) const = 0;
};

class RunFolder {
 public:
  /// Creates and locks `path`. A folder that holds a run is refused unless `overwrite`, which
  /// removes that run's files; a folder that holds anything else is refused in any case, and one in
  /// which a run goes on too. Throws Error{usage} for the first two, Error{io} for the third and
  /// when the file system refuses.
  RunFolder(std::filesystem::path path, bool overwrite);

  /// Locks the run that `path` holds, to go on with it, and removes what a killed process left half
  /// written. Throws Error{usage} when it holds none, Error{io} when a run goes on there.
  static RunFolder reopen(std::filesystem::path path);

  /// Whether `path` is a folder with a run in it.
  static bool holds_run(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const std::string& name) const { return path_ / name; }

  /// Writes `args.json`, whole or not at all.
  void write_args(const nlohmann::json& args);
  void write_json(const std::string& name, const nlohmann::json& json);

  /// The folder's rows, to be added to. Keeps the folder locked as long as it lives.
  std::shared_ptr<RunRows> rows();

  /// Appends a line to `restarts.jsonl`, durably.
  void add_restart(const nlohmann::json& record);

 private:
  RunFolder() = default;

  std::filesystem::path path_;
  std::shared_ptr<FileLock> lock_;
};

}  // namespace fatwood
