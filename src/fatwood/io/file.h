// Whole files, read with a limit and written so that a crash leaves either the old file or the new
// one: temporary name in the same folder → write → fsync → rename → fsync of the folder.
// Checkpoints, run folders, weights and the data cache are all written through here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <fatwood/io/bytes.h>
#include <fatwood/io/descriptor.h>

namespace fatwood {

/// The file's bytes. Throws Error{io} when it cannot be read or is no regular file, Error{data}
/// when it is larger than `limit_bytes` (found out before anything is allocated).
Bytes read_file(const std::filesystem::path& path, std::uint64_t limit_bytes);

/// The same as text; its encoding is not checked.
std::string read_text_file(const std::filesystem::path& path, std::uint64_t limit_bytes);

/// Writes the file `path` whole or not at all, durably: after it returns the bytes survive a power
/// failure. A symbolic link at `path` is replaced, not followed. Throws Error{io}; no temporary
/// file stays behind then, and what stood at `path` is as it was.
void write_file(const std::filesystem::path& path, ByteView bytes);
void write_file(const std::filesystem::path& path, std::string_view text);

/// The same in pieces, for what should not be assembled in memory first.
///
///     AtomicFile file(path);
///     file.write(header);
///     file.write(body);
///     file.commit();  // without it the destructor removes the temporary file
class AtomicFile {
 public:
  /// Creates the temporary file; nothing is visible at `path` before commit().
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(ByteView bytes);
  /// fsync, rename over `path`, fsync of the folder. When only that last fsync fails, the new file
  /// is in place but may not survive a power failure.
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  Descriptor file_;
};

/// Makes names that were created, renamed or removed in `folder` survive a power failure. Where a
/// file system cannot sync folders (EINVAL) there is nothing more to do, and that is no error.
void sync_folder(const std::filesystem::path& folder);

/// Makes `folder` and those of its parents that are missing; their names survive a power failure
/// once this returns, that of one that is there already too. Throws Error{io}.
void create_folders(const std::filesystem::path& path);

/// Whether `path` is named like a temporary file that write_file makes.
bool is_temporary(const std::filesystem::path& path);

/// Removes the temporary files that killed processes left in `folder`; returns how many. Only for a
/// folder that the caller alone writes to (see file_lock.h).
int remove_temporaries(const std::filesystem::path& folder);

}  // namespace fatwood
