// A checkpoint as a file: one safetensors file that holds the tensors, a JSON text about them in
// its metadata, and as its last 32 bytes the SHA-256 of all bytes before. One file, so that one
// rename commits all of it; a digest over everything, so that no damage passes for a state.
// train/checkpoint.h says what a run puts into it. Nothing here knows of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <fatwood/io/safetensors.h>

namespace fatwood {

inline constexpr int kCheckpointFormat = 1;

struct CheckpointFile {
  Safetensors tensors;  ///< the tensor "digest" among them
  nlohmann::json about;
};

/// Writes `path` whole or not at all, durably, and reads it back. Throws Error{io} when the file
/// system refuses or what is read back is not what was written, Error{diverged} naming the first
/// floating-point tensor that holds a number that is not finite; nothing is written then.
void write_checkpoint(const std::filesystem::path& path, std::span<const TensorView> tensors,
                      const nlohmann::json& about);

/// Throws Error{io} when the file cannot be read, Error{data} naming it when it is damaged,
/// truncated, no checkpoint, or of a later format.
CheckpointFile read_checkpoint(const std::filesystem::path& path);

/// The same for a file's bytes; `name` stands for it in messages.
CheckpointFile parse_checkpoint(Bytes file, const std::string& name);

/// "step-00000118.safetensors"
std::string checkpoint_name(std::int64_t step);

struct ListedCheckpoint {
  std::filesystem::path path;
  std::int64_t step = 0;
};

/// The checkpoints in `folder` by their names, the newest first; nothing when there is no such
/// folder. Whether they are whole is for read_checkpoint to say.
std::vector<ListedCheckpoint> list_checkpoints(const std::filesystem::path& folder);

}  // namespace fatwood
