// The four files of a small data set in FashionMNIST's format: the height of a bright line tells
// the class.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace fatwood {

inline void write_idx(const std::filesystem::path& path, const std::vector<std::uint32_t>& shape,
                      const std::vector<std::uint8_t>& bytes) {
  std::string text{'\0', '\0', '\x08', static_cast<char>(shape.size())};
  for (const std::uint32_t size : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(size >> shift & 255);
  }
  text.append(bytes.begin(), bytes.end());
  std::ofstream(path, std::ios::binary) << text;
}

inline void write_tiny_mnist(const std::filesystem::path& folder, std::uint32_t training = 300,
                             std::uint32_t test = 70) {
  std::uint32_t state = 1;
  const auto next = [&state] { return state = state * 1664525 + 1013904223; };
  for (const auto& [part, count] : {std::pair{"train", training}, std::pair{"t10k", test}}) {
    std::vector<std::uint8_t> pixels, labels;
    for (std::uint32_t i = 0; i < count; ++i) {
      labels.push_back(static_cast<std::uint8_t>((next() >> 16) % 10));
      for (std::uint32_t row = 0; row < 28; ++row) {
        for (int column = 0; column < 28; ++column) {
          pixels.push_back(row == 2u * labels.back() + 3 ? 250
                                                         : static_cast<std::uint8_t>(next() >> 26));
        }
      }
    }
    write_idx(folder / (std::string(part) + "-images-idx3-ubyte"), {count, 28, 28}, pixels);
    write_idx(folder / (std::string(part) + "-labels-idx1-ubyte"), {count}, labels);
  }
}

}  // namespace fatwood
