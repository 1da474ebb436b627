// An exclusive lock on a run folder or the data cache, held by a process. The kernel releases it
// when the process ends, however it ends, so a killed run never leaves a folder locked.
#pragma once

#include <filesystem>

#include <fatwood/io/descriptor.h>

namespace fatwood {

/// flock(2) on a file that stays behind empty of meaning: removing it would let two processes hold
/// locks on two files of one name.
class FileLock {
 public:
  enum class Wait { no, yes };

  /// Creates the file `path` when missing, locks it and writes the process number into it. Throws
  /// Error{io} "… in use by process N" when another holds it and `wait` is no, or when the file
  /// cannot be made.
  explicit FileLock(const std::filesystem::path& path, Wait wait = Wait::no);

 private:
  Descriptor file_;
};

}  // namespace fatwood
