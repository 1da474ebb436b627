// TensorBoard event files: scalars of every batch and epoch, histograms of activations. The format
// is TFRecord (length, masked CRC-32C, data, masked CRC-32C) around the protocol buffers
// tensorflow.Event and tensorflow.Summary, written by hand: no protobuf library, no TensorFlow.
// A sink of rows, for a run that goes on; `write_tensorboard` converts a recorded one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <fatwood/core/rows.h>
#include <fatwood/io/descriptor.h>
#include <fatwood/report/run_record.h>

namespace fatwood {

/// Writes `events.out.tfevents.…` into a folder, an event per write, so that a killed run keeps all
/// of them. Tags: loss/batch, lr, momentum; METRIC/train and METRIC/eval per epoch; mean/layer I,
/// std/layer I, activations/layer I.
class TensorBoardSink : public RowSink {
 public:
  /// Creates `folder` and a new file in it. `now` gives seconds since 1970, the system's clock when
  /// empty. Throws Error{io}.
  explicit TensorBoardSink(const std::filesystem::path& folder, std::function<double()> now = {});

  void batch(const BatchRow& row) override;
  void stats(const StatsRow& row) override;
  void epoch(const EpochRow& row) override;
  void event(const EventRow& row) override;

  const std::filesystem::path& path() const { return file_.path(); }

 private:
  void write(std::int64_t step, const std::string& summary);

  std::function<double()> now_;
  Descriptor file_;
  std::vector<std::pair<std::int64_t, std::string>> epochs_;  // step, summary
};

/// All rows of a recorded run as an event file in `folder`; wall times are those of its rows,
/// counted from `started` (seconds since 1970).
std::filesystem::path write_tensorboard(const RunRecord& run, const std::filesystem::path& folder,
                                        double started);

/// CRC-32C (Castagnoli), as in TFRecord; not zlib's.
std::uint32_t crc32c(std::string_view bytes);

/// One TFRecord around `data`.
std::string tf_record(std::string_view data);

}  // namespace fatwood
