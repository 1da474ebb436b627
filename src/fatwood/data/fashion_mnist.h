// FashionMNIST: 60,000 training and 10,000 test images of clothes, 28 × 28 bytes, ten classes.
// Found on the machine or downloaded once; the four files are read by idx.h.
// Source: Xiao, Rasul, Vollgraf, "Fashion-MNIST" (2017).
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <fatwood/data/dataset.h>

namespace fatwood {

struct FashionMnist {
  ImageDataset training;
  ImageDataset test;
  std::filesystem::path folder;  ///< where the files are
};

/// Where to look, in this order. A folder counts when it holds all four files, each packed
/// (NAME.gz) or plain (NAME).
struct FashionMnistPlaces {
  /// Look here and nowhere else: the user's --data.
  std::optional<std::filesystem::path> given;
  /// Downloads go here. Default: $XDG_CACHE_HOME, else ~/.cache, then fatwood/fashion-mnist; empty
  /// when the environment names neither, and then nothing can be downloaded.
  std::filesystem::path cache;
  /// Debian's package dataset-fashion-mnist.
  std::filesystem::path package = "/usr/share/datasets/fashion-mnist";
  /// Address in front of the files' names. Default: $FATWOOD_FASHION_MNIST_URL, else the authors'.
  std::string url;

  /// The defaults, with what the environment says.
  static FashionMnistPlaces from_environment();
};

/// Loads both sets; `say` hears a line about each download. A downloaded file is checked against
/// the SHA-256 of its known content and enters the cache whole or not at all. Throws Error{data}
/// for a given folder that lacks files (named) and for files that are not what they should be,
/// Error{io} when a file cannot be read or the download fails, with the commands to run by hand;
/// DownloadStopped (download.h) when `stop` is requested while one goes on.
FashionMnist load_fashion_mnist(const FashionMnistPlaces& places,
                                const std::function<void(std::string_view)>& say = {},
                                const std::stop_token& stop = {});

}  // namespace fatwood
