// Follows the rows that another process appends to a run's folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <fatwood/core/rows.h>

namespace fatwood {

/// Hands new rows of `folder`/rows.jsonl to a sink, each time it is asked. A last line without its
/// newline waits until it is whole; a damaged one is passed over and counted.
class RowFollower {
 public:
  /// Throws Error{data} when `folder` is not there.
  explicit RowFollower(std::filesystem::path folder);

  /// Reads what is new, 64 MiB at most; returns the number of rows. A file that became shorter (the
  /// run was resumed or overwritten) is read again from its start: the sink sees a new begin().
  /// Throws Error{io}.
  std::size_t poll(RowSink& sink);

  /// The same for a folder that has long had nothing new. Throws Error{data} when it still has not
  /// and nobody is there to write: the run was killed, at its very start perhaps, or the folder
  /// holds none.
  std::size_t poll_while_running(RowSink& sink);

  /// An end record was the last row.
  bool ended() const { return ended_; }
  std::size_t damaged() const { return damaged_; }

  /// Whether a process holds the run's lock. A run that has no end and no process was killed.
  bool is_running() const;

 private:
  [[noreturn]] void refuse_abandoned() const;

  std::filesystem::path folder_;
  std::uint64_t offset_ = 0;
  std::string partial_;
  bool ended_ = false;
  std::size_t damaged_ = 0;
};

}  // namespace fatwood
