// Fetches a file over HTTP with the machine's own curl or wget, so that fatwood links no network
// library. Only the data sets use it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <fatwood/io/bytes.h>

namespace fatwood {

/// The bytes behind `url`, which must begin with http:// or https://. The program is started
/// without a shell. Throws Error{io} when neither program is there or the transfer fails, with what
/// the program said, Error{data} when more than `limit_bytes` come.
Bytes download(const std::string& url, std::uint64_t limit_bytes);

/// A command that a person can run to put the file behind `url` at `path`.
std::string download_command(const std::string& url, const std::filesystem::path& path);

}  // namespace fatwood
