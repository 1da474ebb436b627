#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include <fatwood/core/error.h>
#include <fatwood/report/tensorboard.h>

namespace fatwood {
namespace {

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
    table[i] = crc;
  }
  return table;
}

constexpr std::array<std::uint32_t, 256> kCrcTable = make_crc_table();

template <typename T>
void append_little_endian(std::string& bytes, T value) {
  static_assert(std::endian::native == std::endian::little);
  std::array<char, sizeof(T)> raw;
  std::memcpy(raw.data(), &value, sizeof(T));
  bytes.append(raw.data(), raw.size());
}

// The wire format of protocol buffers: a key (field number and wire type), then the value.
class Message {
 public:
  Message& varint(int field, std::uint64_t value) {
    put_varint(static_cast<std::uint64_t>(field) << 3);
    put_varint(value);
    return *this;
  }
  Message& float64(int field, double value) {
    put_varint(static_cast<std::uint64_t>(field) << 3 | 1);
    append_little_endian(bytes_, value);
    return *this;
  }
  Message& float32(int field, float value) {
    put_varint(static_cast<std::uint64_t>(field) << 3 | 5);
    append_little_endian(bytes_, value);
    return *this;
  }
  Message& text(int field, std::string_view value) {
    put_varint(static_cast<std::uint64_t>(field) << 3 | 2);
    put_varint(value.size());
    bytes_ += value;
    return *this;
  }
  Message& float64s(int field, const std::vector<double>& values) {
    std::string packed;
    for (const double value : values) append_little_endian(packed, value);
    return text(field, packed);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void put_varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

// Field numbers: tensorboard/compat/proto/{event,summary}.proto.
std::string scalar(const std::string& tag, double value) {
  return Message()
      .text(1, Message().text(1, tag).float32(2, static_cast<float>(value)).bytes())
      .bytes();
}

std::string histogram(const std::string& tag, const std::vector<std::int64_t>& counts) {
  const double width = kHistogramTop / static_cast<double>(counts.size());
  std::vector<double> limits;
  std::vector<double> buckets;
  double number = 0;
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto count = static_cast<double>(std::max<std::int64_t>(counts[i], 0));
    const double middle = (static_cast<double>(i) + 0.5) * width;
    limits.push_back(static_cast<double>(i + 1) * width);
    buckets.push_back(count);
    number += count;
    sum += count * middle;
    squares += count * middle * middle;
  }
  const std::string histo = Message()
                                .float64(1, 0)
                                .float64(2, kHistogramTop)
                                .float64(3, number)
                                .float64(4, sum)
                                .float64(5, squares)
                                .float64s(6, limits)
                                .float64s(7, buckets)
                                .bytes();
  return Message().text(1, Message().text(1, tag).text(5, histo).bytes()).bytes();
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::filesystem::path event_file(const std::filesystem::path& folder, double now) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw Error(ErrorKind::io, "tensorboard", folder.string() + ": " + error.message());
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host = {'h', 'o', 's', 't'};
  return folder / ("events.out.tfevents." + std::to_string(static_cast<std::int64_t>(now)) + "." +
                   host.data() + "." + std::to_string(getpid()));
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes)
    crc = kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xFF] ^ crc >> 8;
  return ~crc;
}

std::string tf_record(std::string_view data) {
  // The mask keeps a checksum of data that holds checksums from being trivial.
  const auto masked = [](std::string_view bytes) {
    return std::rotr(crc32c(bytes), 15) + 0xA282EAD8u;
  };
  std::string record;
  append_little_endian(record, static_cast<std::uint64_t>(data.size()));
  append_little_endian(record, masked(record));
  record += data;
  append_little_endian(record, masked(data));
  return record;
}

TensorBoardSink::TensorBoardSink(const std::filesystem::path& folder, std::function<double()> now)
    : now_(now ? std::move(now) : seconds_now),
      file_("tensorboard", event_file(folder, now_()), O_WRONLY | O_CREAT | O_APPEND) {
  const std::string record =
      tf_record(Message().float64(1, now_()).text(3, "brain.Event:2").bytes());
  file_.write(as_bytes(record));
}

void TensorBoardSink::write(std::int64_t step, const std::string& summary) {
  const std::string record = tf_record(Message()
                                           .float64(1, now_())
                                           .varint(2, static_cast<std::uint64_t>(step))
                                           .text(5, summary)
                                           .bytes());
  file_.write(as_bytes(record));
}

void TensorBoardSink::batch(const BatchRow& row) {
  if (row.mode != Mode::training) return;
  write(row.step,
        scalar("loss/batch", row.loss) + scalar("lr", row.lr) + scalar("momentum", row.momentum));
}

void TensorBoardSink::stats(const StatsRow& row) {
  if (row.mode != Mode::training) return;
  std::string summary;
  const auto layer = [](std::size_t i) { return "layer " + std::to_string(i); };
  for (std::size_t i = 0; i < row.mean.size(); ++i)
    summary += scalar("mean/" + layer(i), row.mean[i]);
  for (std::size_t i = 0; i < row.std.size(); ++i) summary += scalar("std/" + layer(i), row.std[i]);
  for (std::size_t i = 0; i < row.hist.size(); ++i) {
    if (!row.hist[i].empty()) summary += histogram("activations/" + layer(i), row.hist[i]);
  }
  write(row.step, summary);
}

void TensorBoardSink::epoch(const EpochRow& row) {
  std::string summary;
  for (const auto& [name, value] : row.metrics)
    summary += scalar(name + "/" + std::string(name_of(row.mode)), value);
  write(row.step, summary);
  epochs_.emplace_back(row.step, std::move(summary));
}

// A session that starts at a step tells TensorBoard to forget what was written for it and for later
// ones. The epoch that ended there stands.
void TensorBoardSink::event(const EventRow& row) {
  if (row.what != kRewindEvent) return;
  constexpr std::uint64_t kStart = 1;  // SessionLog.START
  const std::string record = tf_record(Message()
                                           .float64(1, now_())
                                           .varint(2, static_cast<std::uint64_t>(row.step))
                                           .text(7, Message().varint(1, kStart).bytes())
                                           .bytes());
  file_.write(as_bytes(record));
  std::erase_if(epochs_, [&row](const auto& epoch) { return epoch.first > row.step; });
  for (const auto& [step, summary] : epochs_) {
    if (step == row.step) write(step, summary);
  }
}

std::filesystem::path write_tensorboard(const RunRecord& run, const std::filesystem::path& folder,
                                        double started) {
  double time = started;
  TensorBoardSink sink(folder, [&time] { return time; });
  // Rows of one step go together: batch, statistics, then what ended with it.
  auto stats = run.stats.begin();
  auto epoch = run.epochs.begin();
  for (const BatchRow& row : run.batches) {
    time = std::max(time, started + row.elapsed_s);
    sink.batch(row);
    for (; stats != run.stats.end() && stats->step <= row.step; ++stats) sink.stats(*stats);
    for (; epoch != run.epochs.end() && epoch->step <= row.step + 1; ++epoch) sink.epoch(*epoch);
  }
  for (; stats != run.stats.end(); ++stats) sink.stats(*stats);
  for (; epoch != run.epochs.end(); ++epoch) sink.epoch(*epoch);
  return sink.path();
}

}  // namespace fatwood
