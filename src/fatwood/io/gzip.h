// gzip streams (RFC 1952) unpacked in memory, with a limit that holds before anything is allocated.
// For the data sets, which are distributed this way.
#pragma once

#include <cstdint>
#include <string_view>

#include <fatwood/io/bytes.h>

namespace fatwood {

/// Whether `bytes` begin as a gzip stream does.
bool is_gzip(ByteView bytes);

/// Unpacks `compressed`, which may consist of several gzip members; every checksum is verified.
/// `name` stands for it in messages. Throws Error{data} for anything but a whole gzip stream (an
/// HTML page is called one), and when more than `limit_bytes` would come out.
Bytes gunzip(ByteView compressed, std::string_view name, std::uint64_t limit_bytes);

}  // namespace fatwood
