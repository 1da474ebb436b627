// Rows as JSON, one object a line, keyed by "type" (docs/run-folder.md). Everything that may differ
// between two identical runs stands in an object "timing".
#pragma once

#include <cstddef>
#include <string>

#include <fatwood/core/rows.h>

namespace fatwood {

inline constexpr int kRunFormat = 1;

/// A longer line is no row.
inline constexpr std::size_t kMaxLineBytes = std::size_t{4} << 20;

/// One line of `rows.jsonl`, without the newline. Numbers that are not finite become the strings
/// "nan", "inf" and "-inf". Throws Error{usage} for a run or an epoch of more metrics than
/// kMostOrderedKeys (core/json.h), which could not be read again.
std::string to_json_line(const RunRow& row);
std::string to_json_line(const BatchRow& row);
std::string to_json_line(const StatsRow& row);
std::string to_json_line(const EpochRow& row);
std::string to_json_line(const EventRow& row);
std::string to_json_line(const EndRow& row);

/// Reads one line and hands its row to `sink`; unknown types and keys are passed over.
/// Throws Error{data} for a line that is not a JSON object or lacks what its type needs, and where
/// a step, an epoch or any other count is no integer from 0 to kMaxCount (core/json.h).
void read_json_line(const std::string& line, RowSink& sink);

}  // namespace fatwood
