// Fetches a file over HTTP with the machine's own curl or wget, so that fatwood links no network
// library. Only the data sets use it.
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <stop_token>
#include <string>

#include <fatwood/io/bytes.h>

namespace fatwood {

/// Ends a download that its stop token was asked to end: no error of anyone's.
class DownloadStopped : public std::exception {
 public:
  const char* what() const noexcept override { return "the download was stopped"; }
};

/// The bytes behind `url`, which must begin with http:// or https://. The program is started
/// without a shell. Throws Error{io} when neither program is there or the transfer fails, with what
/// the program said, Error{data} when more than `limit_bytes` come, DownloadStopped within a moment
/// of a request by `stop`: it watches for one itself since the program, to which Ctrl-C goes too,
/// has it blocked where its caller has.
Bytes download(const std::string& url, std::uint64_t limit_bytes, const std::stop_token& stop = {});

/// A command that a person can run to put the file behind `url` at `path`.
std::string download_command(const std::string& url, const std::filesystem::path& path);

}  // namespace fatwood
