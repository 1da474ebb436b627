#include <array>
#include <cstdint>
#include <cstdlib>
#include <system_error>
#include <utility>
#include <vector>

#include <fatwood/core/error.h>
#include <fatwood/data/download.h>
#include <fatwood/data/fashion_mnist.h>
#include <fatwood/data/idx.h>
#include <fatwood/io/cache_folder.h>
#include <fatwood/io/file.h>
#include <fatwood/io/gzip.h>
#include <fatwood/io/sha256.h>

namespace fatwood {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kOfficialUrl =
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com";

struct SourceFile {
  std::string_view name;    // unpacked; ".gz" is added to it
  std::string_view sha256;  // of the unpacked content: the same for every packing of it
  std::uint64_t bytes;      // unpacked
};

// The digests are those of the files whose packed MD5 the authors publish.
constexpr std::array kFiles = {
    SourceFile{"train-images-idx3-ubyte",
               "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", 47040016},
    SourceFile{"train-labels-idx1-ubyte",
               "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", 60008},
    SourceFile{"t10k-images-idx3-ubyte",
               "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 7840016},
    SourceFile{"t10k-labels-idx1-ubyte",
               "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 10008},
};

const std::vector<std::string>& class_names() {
  static const std::vector<std::string> names = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                                 "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                                 "Bag",         "Ankle boot"};
  return names;
}

std::string packed_name(const SourceFile& file) {
  return std::string(file.name) + ".gz";
}

// The file in `folder`, packed or plain; nullopt when neither is there.
std::optional<fs::path> find_file(const fs::path& folder, const SourceFile& file) {
  for (const fs::path& path : {folder / packed_name(file), folder / file.name}) {
    std::error_code error;
    if (fs::exists(path, error)) return path;
  }
  return std::nullopt;
}

// The same, packed where neither is there: reading that says what is missing.
fs::path existing_file(const fs::path& folder, const SourceFile& file) {
  return find_file(folder, file).value_or(folder / packed_name(file));
}

std::vector<SourceFile> missing_from(const fs::path& folder) {
  std::vector<SourceFile> missing;
  for (const SourceFile& file : kFiles) {
    if (!find_file(folder, file)) missing.push_back(file);
  }
  return missing;
}

ImageDataset load_half(const fs::path& folder, const SourceFile& images_file,
                       const SourceFile& labels_file) {
  const fs::path images_path = existing_file(folder, images_file);
  const fs::path labels_path = existing_file(folder, labels_file);
  IdxArray images = read_idx(images_path, 3);
  IdxArray labels = read_idx(labels_path, 1);
  return ImageDataset({.name = "FashionMNIST",
                       .classes = class_names(),
                       .channels = 1,
                       .height = images.shape[1],
                       .width = images.shape[2],
                       .pixels = std::move(images.values),
                       .labels = std::move(labels.values),
                       .images_from = images_path.string(),
                       .labels_from = labels_path.string()});
}

FashionMnist load_folder(const fs::path& folder) {
  FashionMnist data{.training = load_half(folder, kFiles[0], kFiles[1]),
                    .test = load_half(folder, kFiles[2], kFiles[3]),
                    .folder = folder};
  if (data.training.height() != data.test.height() || data.training.width() != data.test.width()) {
    throw Error(ErrorKind::data, "fashion_mnist",
                folder.string() + ": test images of " + std::to_string(data.test.height()) + " × " +
                    std::to_string(data.test.width()) + ", wanted those of the training images, " +
                    std::to_string(data.training.height()) + " × " +
                    std::to_string(data.training.width()));
  }
  return data;
}

std::string list_of(const std::vector<SourceFile>& files) {
  std::string text;
  for (const SourceFile& file : files) text += (text.empty() ? "" : ", ") + packed_name(file);
  return text;
}

// Downloads one file, checks it, and only then lets it into the cache.
void fetch_file(const SourceFile& file, const std::string& url, const fs::path& cache,
                const std::stop_token& stop) {
  const Bytes packed = download(url, file.bytes, stop);
  const std::string digest = sha256_hex(gunzip(packed, url, file.bytes));
  if (digest != file.sha256) {
    throw Error(
        ErrorKind::data, "fashion_mnist",
        url + ": SHA-256 of the content " + digest + ", wanted " + std::string(file.sha256));
  }
  write_file(cache / packed_name(file), packed);
}

void fetch(const FashionMnistPlaces& places, const std::vector<SourceFile>& missing,
           const std::function<void(std::string_view)>& say, const std::stop_token& stop) {
  if (places.cache.empty()) {
    throw Error(ErrorKind::io, "fashion_mnist",
                "no folder to download to: neither XDG_CACHE_HOME nor HOME is set; name a folder "
                "that holds " +
                    list_of(missing));
  }
  std::error_code error;
  fs::create_directories(places.cache, error);
  if (error) {
    throw Error(ErrorKind::io, "fashion_mnist",
                places.cache.string() + ": cannot make the folder: " + error.message());
  }
  for (const SourceFile& file : missing) {
    const std::string url = places.url + '/' + packed_name(file);
    if (say) say("Downloading " + url);
    try {
      fetch_file(file, url, places.cache, stop);
    } catch (const Error& cause) {
      throw Error(cause.kind(), "fashion_mnist",
                  std::string(cause.what()) + "; to fetch it by hand: " +
                      download_command(url, places.cache / packed_name(file)));
    }
  }
}

// The value of an environment variable, or "" when it is not set.
std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

FashionMnistPlaces FashionMnistPlaces::from_environment() {
  FashionMnistPlaces places;
  if (const fs::path ours = cache_folder(); !ours.empty()) places.cache = ours / "fashion-mnist";
  places.url = environment("FATWOOD_FASHION_MNIST_URL");
  if (places.url.empty()) places.url = kOfficialUrl;
  while (places.url.ends_with('/')) places.url.pop_back();
  return places;
}

FashionMnist load_fashion_mnist(const FashionMnistPlaces& places,
                                const std::function<void(std::string_view)>& say,
                                const std::stop_token& stop) {
  if (places.given) {
    const std::vector<SourceFile> missing = missing_from(*places.given);
    if (!missing.empty()) {
      throw Error(ErrorKind::data, "fashion_mnist",
                  places.given->string() + ": lacks " + list_of(missing));
    }
    return load_folder(*places.given);
  }
  for (const fs::path& folder : {places.cache, places.package}) {
    if (!folder.empty() && missing_from(folder).empty()) return load_folder(folder);
  }
  fetch(places, missing_from(places.cache), say, stop);
  return load_folder(places.cache);
}

}  // namespace fatwood
