// The file of the tuned table: where it is, reading it, and adding to it (docs/tune.md).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <fatwood/engine/choice.h>

namespace fatwood {

struct TuningPlace {
  std::filesystem::path path;  ///< empty: no table, the built-in choices alone
  bool named = false;          ///< by the user, who then means a file that is there
};

/// `option` when it is not empty, else the environment variable FATWOOD_TUNING, either a file or
/// "none"; else tuning.json in cache_folder().
TuningPlace tuning_place(const std::string& option);

/// The table at tuning_place(option); nullptr for "none", and where the user named none and there
/// is none. Throws Error{io} for a file that cannot be read, Error{data} for one that is no whole
/// table.
TuningPtr load_tuning(const std::string& option);

/// The table in the file; an empty one where there is no file. Throws as load_tuning does.
kernels::TuningTable read_tuning_file(const std::filesystem::path& path);

/// Puts the entries into the table that the file holds by now, and writes it whole or not at all.
/// Makes the folder if it is missing. Throws as load_tuning does, and Error{io}.
void add_to_tuning_file(const std::filesystem::path& path,
                        const std::vector<kernels::TuningEntry>& entries);

}  // namespace fatwood
