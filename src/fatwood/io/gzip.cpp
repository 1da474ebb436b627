#include <algorithm>
#include <limits>
#include <string>

#include <zlib.h>

#include <fatwood/core/error.h>
#include <fatwood/io/gzip.h>

namespace fatwood {
namespace {

constexpr std::size_t kSmallestMember = 18;       // header 10, trailer 8
constexpr std::uint64_t kDeflateMaxRatio = 1032;  // no deflate stream expands further

[[noreturn]] void fail_gzip(std::string_view name, std::string_view what) {
  throw Error(ErrorKind::data, "gunzip", std::string(name) + ": " + std::string(what));
}

bool looks_like_html(ByteView bytes) {
  const std::string_view text = as_text(bytes);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '<';
}

// Owns zlib's state for one pass over one input.
class Inflater {
 public:
  explicit Inflater(std::string_view name) {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    if (inflateInit2(&stream_, kGzipOnly) != Z_OK) fail_gzip(name, "zlib has no memory left");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream* operator->() { return &stream_; }
  int inflate_some() { return ::inflate(&stream_, Z_NO_FLUSH); }
  void next_member() { inflateReset(&stream_); }

 private:
  z_stream stream_{};
};

// What the stream's last four bytes, the length modulo 2^32, promise, capped by what the input can
// hold at all: a hint that makes one allocation enough for honest files.
std::uint64_t first_guess(ByteView compressed, std::uint64_t limit_bytes) {
  const ByteView tail = compressed.last(4);
  const std::uint64_t promised = std::uint64_t{tail[3]} << 24 | std::uint64_t{tail[2]} << 16 |
                                 std::uint64_t{tail[1]} << 8 | tail[0];
  return std::min({promised, limit_bytes, compressed.size() * kDeflateMaxRatio});
}

uInt piece(std::uint64_t size) {
  return static_cast<uInt>(std::min<std::uint64_t>(size, std::numeric_limits<uInt>::max()));
}

}  // namespace

bool is_gzip(ByteView bytes) {
  return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

Bytes gunzip(ByteView compressed, std::string_view name, std::uint64_t limit_bytes) {
  if (compressed.empty()) fail_gzip(name, "an empty file, wanted a gzip stream");
  if (!is_gzip(compressed)) {
    fail_gzip(name, looks_like_html(compressed)
                        ? "an HTML page, wanted a gzip stream (a download that went wrong?)"
                        : "no gzip magic 1f 8b at its start");
  }
  if (compressed.size() < kSmallestMember) fail_gzip(name, "a truncated gzip stream");

  Bytes output(first_guess(compressed, limit_bytes));
  std::size_t in = 0;
  std::size_t out = 0;
  Inflater inflater(name);
  while (true) {
    // With the output full one spare byte is offered: the end of an honest stream needs none.
    Bytef spare = 0;
    const bool full = out == output.size();
    inflater->next_in = const_cast<Bytef*>(compressed.data() + in);  // zlib does not write there
    inflater->avail_in = piece(compressed.size() - in);
    inflater->next_out = full ? &spare : output.data() + out;
    inflater->avail_out = full ? 1 : piece(output.size() - out);
    const uInt offered_in = inflater->avail_in;
    const uInt offered_out = inflater->avail_out;
    const int result = inflater.inflate_some();
    in += offered_in - inflater->avail_in;
    const std::size_t produced = offered_out - inflater->avail_out;
    if (full && produced > 0) {
      if (out == limit_bytes)
        fail_gzip(name, "unpacks to more than " + counted(limit_bytes, "byte"));
      const auto size =
          std::min<std::uint64_t>(limit_bytes, std::max<std::uint64_t>(4096, 2 * out));
      output.reserve(size);  // exactly: resize() alone may take twice as much
      output.resize(size);
      output[out] = spare;
    }
    out += produced;

    if (result == Z_STREAM_END) {
      const ByteView rest = compressed.subspan(in);
      if (rest.empty()) break;
      if (!is_gzip(rest)) {
        fail_gzip(name,
                  counted(rest.size(), "byte") + " of garbage after the end of the gzip stream");
      }
      inflater.next_member();
    } else if (result == Z_BUF_ERROR ||
               (result == Z_OK && in == compressed.size() && produced == 0)) {
      fail_gzip(name, "a truncated gzip stream: ends after " + counted(out, "unpacked byte"));
    } else if (result != Z_OK) {
      fail_gzip(name, std::string("a damaged gzip stream: ") +
                          (inflater->msg != nullptr ? inflater->msg : "zlib refuses it") +
                          " after " + counted(out, "unpacked byte"));
    }
  }
  output.resize(out);
  return output;
}

}  // namespace fatwood
