#include <fcntl.h>
#include <utility>

#include <fatwood/core/error.h>
#include <fatwood/io/append_file.h>
#include <fatwood/io/file.h>

namespace fatwood {

AppendFile::AppendFile(std::filesystem::path path)
    : file_("append_file", std::move(path), O_WRONLY | O_CREAT | O_APPEND) {
  length_ = file_.regular_file_size();
  const std::filesystem::path folder = file_.path().parent_path();
  sync_folder(folder.empty() ? "." : folder);
}

void AppendFile::append_line(std::string_view line) {
  if (line.find('\n') != std::string_view::npos) {
    throw Error(ErrorKind::internal, "append_file",
                file_.path().string() + ": a line with a newline in it: " + printable(line));
  }
  buffer_.assign(line);
  buffer_ += '\n';
  try {
    file_.write(as_bytes(buffer_));
  } catch (const Error&) {
    try {
      file_.truncate(length_);
    } catch (const Error&) {
      // The failed write is what the caller needs to hear of; readers pass over half a line.
    }
    throw;
  }
  length_ += buffer_.size();
}

void AppendFile::sync() {
  file_.sync();
}

void AppendFile::truncate_to(std::uint64_t length) {
  if (length > length_) {
    throw Error(ErrorKind::data, "append_file",
                file_.path().string() + ": " + counted(length_, "byte") + ", wanted at least " +
                    std::to_string(length));
  }
  file_.truncate(length);
  file_.sync();
  length_ = length;
}

}  // namespace fatwood
