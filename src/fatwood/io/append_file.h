// A file of lines that grows: the rows of a run. Each line is handed to the kernel by one write as
// it is appended, so a killed process loses none; sync() makes them survive a power failure too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>

#include <fatwood/io/descriptor.h>

namespace fatwood {

class AppendFile {
 public:
  /// Opens `path` to append to what it holds; creates it when there is none. Throws Error{io}.
  explicit AppendFile(std::filesystem::path path);

  /// Appends `line` and a newline. When the disk refuses, throws Error{io}; the part of the line
  /// that was written is taken back, so that the file still ends in a whole line.
  void append_line(std::string_view line);

  /// All lines so far survive a power failure once this returns. May be called from another thread
  /// than lines come from. Throws Error{io}; after that the kernel may have dropped the lines that
  /// were not yet durable and say success when asked again, so the next call writes them anew.
  void sync();

  /// Bytes in the file: where the next line starts.
  std::uint64_t length() const;

  /// Cuts the file back to `length` bytes, durably. Throws Error{data} when it is shorter than
  /// that.
  void truncate_to(std::uint64_t length);

 private:
  void take_back();
  void write_again() const;

  Descriptor file_;
  std::mutex sync_mutex_;     // held while the disk works
  mutable std::mutex mutex_;  // of what follows
  std::uint64_t length_ = 0;
  std::string unsynced_;  // the end of the file: lines that may not be durable yet
  bool sync_failed_ = false;
  bool torn_ = false;  // behind length_ lies half a line
};

}  // namespace fatwood
