// parse_file FORMAT IN OUT: reads IN as the library does and writes what it holds to OUT, which
// must not appear when IN is wrong. FORMAT is idx1, idx3, gzip, safetensors, checkpoint or
// tuning. The program that test_malformed.py sends its files to; exits as the main program does.
#include <iostream>
#include <string>
#include <vector>

#include <fatwood/core/error.h>
#include <fatwood/data/idx.h>
#include <fatwood/io/checkpoint_file.h>
#include <fatwood/io/file.h>
#include <fatwood/io/gzip.h>
#include <fatwood/io/safetensors.h>
#include <fatwood/kernels/tuning.h>

namespace {

void parse_file(const std::string& format, const std::string& in, const std::string& out) {
  if (format == "safetensors") {
    const auto file = fatwood::Safetensors::read(in);
    fatwood::write_safetensors(out, file.tensors(), file.metadata());
  } else if (format == "checkpoint") {
    const auto file = fatwood::read_checkpoint(in);
    std::vector<fatwood::TensorView> tensors = file.tensors.tensors();
    std::erase_if(tensors, [](const auto& tensor) { return tensor.name == "digest"; });
    fatwood::write_checkpoint(out, tensors, file.about);
  } else if (format == "gzip") {
    const fatwood::IdxLimits limits;
    const fatwood::Bytes packed = fatwood::read_file(in, limits.file_bytes);
    fatwood::write_file(out, fatwood::gunzip(packed, in, limits.unpacked_bytes));
  } else if (format == "tuning") {
    using fatwood::kernels::kMaxTuningBytes;
    using fatwood::kernels::TuningTable;
    const std::string text = fatwood::read_text_file(in, kMaxTuningBytes);
    fatwood::write_file(out, TuningTable::parse(text, in).text());
  } else if (format == "idx1" || format == "idx3") {
    fatwood::write_file(out, fatwood::read_idx(in, format == "idx1" ? 1 : 3).values);
  } else {
    throw fatwood::Error(fatwood::ErrorKind::usage, "parse_file",
                         format + ": wanted idx1, idx3, gzip, safetensors, checkpoint or tuning");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: parse_file FORMAT IN OUT\n";
    return static_cast<int>(fatwood::ErrorKind::usage);
  }
  try {
    parse_file(argv[1], argv[2], argv[3]);
  } catch (const fatwood::Error& error) {
    std::cerr << error.what() << '\n';
    return error.exit_code();
  }
}
