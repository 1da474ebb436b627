// The tuned table: for a layer on one machine, what `fatwood tune` measured and whether the kernels
// or LibTorch are to run it. Data and its JSON (docs/tune.md); engine/choice.h asks it, and
// engine/tune.h measures. A table of the same text always gives the same answers.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include <fatwood/kernels/isa.h>
#include <fatwood/kernels/stretch.h>

namespace fatwood::kernels {

/// Everything that an entry is found by. Nothing is read between two keys: another batch is
/// another key.
struct TuningKey {
  std::string layer;  ///< kind and shape: "Conv: conv 3x3/2 8->16, leaky relu, norm"
  int channels = 1, height = 1, width = 1;  ///< of the input
  std::int64_t batch = 1;
  Isa isa = Isa::portable;
  int threads = 1;
  Precision precision = Precision::f32;

  auto operator<=>(const TuningKey&) const = default;
};

/// `isa` becomes computing_isa(isa, precision).
TuningKey tuning_key(const LayerSpec& layer, const ImageShape& input, std::int64_t batch, Isa isa,
                     int threads, Precision precision);

struct TuningEntry {
  TuningKey key;
  bool kernels = true;                  ///< false: LibTorch
  double kernels_ms = 0, torch_ms = 0;  ///< medians of a forward and a backward pass
  std::string cpu;                      ///< where they were measured; for the reader
};

/// "tuned: kernels 1.20 ms, LibTorch 3.41 ms"
std::string describe(const TuningEntry& entry);

inline constexpr int kTuningFormat = 1;
/// A larger file is refused before it is read: some 10,000 entries.
inline constexpr std::uint64_t kMaxTuningBytes = std::uint64_t{4} << 20;

class TuningTable {
 public:
  /// `name` stands for the file in messages. Throws Error{data} for anything but a whole table of
  /// this format: other or missing or repeated keys, numbers out of range, a key that stands twice.
  static TuningTable parse(std::string_view text, std::string_view name);
  /// JSON, an entry a line, in the order of the keys.
  std::string text() const;

  /// nullptr where nothing was measured.
  const TuningEntry* find(const TuningKey& key) const;
  /// Adds the entry or replaces that of its key.
  void put(TuningEntry entry);
  const std::map<TuningKey, TuningEntry>& entries() const { return entries_; }

 private:
  std::map<TuningKey, TuningEntry> entries_;
};

}  // namespace fatwood::kernels
