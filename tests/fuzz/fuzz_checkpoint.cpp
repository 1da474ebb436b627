// libFuzzer target: parse_checkpoint. The input is a checkpoint without its digest, which is put
// right here: else every change would end at the digest. What is accepted must say its format.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include <fatwood/core/error.h>
#include <fatwood/io/checkpoint_file.h>
#include <fatwood/io/sha256.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fatwood::Bytes file(data, data + size);
  fatwood::Sha256 sha;
  sha.update(file);
  const fatwood::Sha256::Digest digest = sha.finish();
  file.insert(file.end(), digest.begin(), digest.end());
  try {
    const auto checkpoint = fatwood::parse_checkpoint(std::move(file), "fuzz");
    if (checkpoint.about.at("format") != fatwood::kCheckpointFormat) std::abort();
    std::uint64_t bytes = 0;
    for (const fatwood::TensorView& tensor : checkpoint.tensors.tensors())
      bytes += tensor.data.size();
    if (bytes > size + digest.size()) std::abort();
  } catch (const fatwood::Error& error) {
    if (error.kind() != fatwood::ErrorKind::data) std::abort();
  }
  return 0;
}
