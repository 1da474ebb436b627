#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <netinet/in.h>
#include <stop_token>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include <fatwood/data/download.h>
#include <fatwood/data/fashion_mnist.h>
#include <fatwood/data/statistics.h>
#include <fatwood/io/file.h>

#include "support/gzip.h"
#include "support/temporary_folder.h"
#include "support/thrown.h"

namespace fatwood {
namespace {

namespace fs = std::filesystem;

Bytes labels_file(std::uint8_t count, std::uint8_t label) {
  Bytes file{0, 0, 8, 1, 0, 0, 0, count};
  file.insert(file.end(), count, label);
  return file;
}

Bytes images_file(std::uint8_t count, std::uint8_t side) {
  Bytes file{0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, side, 0, 0, 0, side};
  file.insert(file.end(), std::size_t{count} * side * side, 9);
  return file;
}

// Three training images and two test images, plain or packed.
void write_small_set(const fs::path& folder, bool packed) {
  fs::create_directories(folder);
  const auto put = [&](const std::string& name, const Bytes& file) {
    if (packed) {
      write_file(folder / (name + ".gz"), gzipped(file));
    } else {
      write_file(folder / name, file);
    }
  };
  put("train-images-idx3-ubyte", images_file(3, 28));
  put("train-labels-idx1-ubyte", labels_file(3, 9));
  put("t10k-images-idx3-ubyte", images_file(2, 28));
  put("t10k-labels-idx1-ubyte", labels_file(2, 0));
}

// Nowhere to look and nothing to download from.
FashionMnistPlaces nowhere(const TemporaryFolder& folder) {
  return {.given = {},
          .cache = folder / "no-cache",
          .package = folder / "no-package",
          .url = "file:///nowhere"};
}

TEST(FashionMnist, a_given_folder_is_read_packed_or_plain) {
  const TemporaryFolder folder;
  for (const bool packed : {false, true}) {
    const fs::path given = folder / (packed ? "packed" : "plain");
    write_small_set(given, packed);
    FashionMnistPlaces places = nowhere(folder);
    places.given = given;
    const FashionMnist data = load_fashion_mnist(places);
    EXPECT_EQ(data.training.size(), 3);
    EXPECT_EQ(data.test.size(), 2);
    EXPECT_EQ(data.training.height(), 28);
    EXPECT_EQ(data.training.classes().at(9), "Ankle boot");
    EXPECT_EQ(data.folder, given);
  }
}

TEST(FashionMnist, a_given_folder_without_files_is_an_error_that_lists_them) {
  const TemporaryFolder folder;
  write_small_set(folder / "cache", true);
  write_small_set(folder / "given", true);
  fs::remove(folder / "given/train-labels-idx1-ubyte.gz");
  fs::remove(folder / "given/t10k-images-idx3-ubyte.gz");
  FashionMnistPlaces places = nowhere(folder);
  places.given = folder / "given";
  places.cache = folder / "cache";
  EXPECT_THAT(thrown_by([&] { load_fashion_mnist(places); }),
              error_with(ErrorKind::data,
                         "given: lacks train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz"));
}

TEST(FashionMnist, the_cache_comes_before_the_package_and_counts_only_when_whole) {
  const TemporaryFolder folder;
  write_small_set(folder / "cache", true);
  write_small_set(folder / "package", true);
  FashionMnistPlaces places = nowhere(folder);
  places.cache = folder / "cache";
  places.package = folder / "package";
  EXPECT_EQ(load_fashion_mnist(places).folder, folder / "cache");
  fs::remove(folder / "cache/t10k-labels-idx1-ubyte.gz");
  EXPECT_EQ(load_fashion_mnist(places).folder, folder / "package");
}

TEST(FashionMnist, wrong_files_are_named) {
  const TemporaryFolder folder;
  FashionMnistPlaces places = nowhere(folder);
  places.given = folder / "given";
  const auto error_with_file = [&](const std::string& name, const Bytes& file) {
    write_small_set(folder / "given", true);
    write_file(folder / "given" / name, file);
    return thrown_by([&] { load_fashion_mnist(places); });
  };
  EXPECT_THAT(error_with_file("train-labels-idx1-ubyte.gz", gzipped(labels_file(3, 10))),
              error_with(ErrorKind::data,
                         "train-labels-idx1-ubyte.gz: label 10 at index 0, classes are 0 to 9"));
  EXPECT_THAT(error_with_file("train-labels-idx1-ubyte.gz", gzipped(labels_file(4, 1))),
              error_with(ErrorKind::data, "train-labels-idx1-ubyte.gz: 4 labels, wanted 3"));
  EXPECT_THAT(error_with_file("t10k-images-idx3-ubyte.gz", gzipped(labels_file(2, 1))),
              error_with(ErrorKind::data, "t10k-images-idx3-ubyte.gz: "));
  EXPECT_THAT(error_with_file("t10k-images-idx3-ubyte.gz", gzipped(images_file(2, 27))),
              error_with(ErrorKind::data, "test images of 27 × 27"));
}

TEST(FashionMnist, without_files_or_a_way_to_get_them_the_error_says_what_to_run) {
  const TemporaryFolder folder;
  FashionMnistPlaces places = nowhere(folder);
  EXPECT_THAT(thrown_by([&] { load_fashion_mnist(places); }),
              error_with(ErrorKind::io, "to fetch it by hand: curl -fL --create-dirs -o '" +
                                            (folder / "no-cache").string() +
                                            "/train-images-idx3-ubyte.gz'"));
  places.cache.clear();
  EXPECT_THAT(thrown_by([&] { load_fashion_mnist(places); }),
              error_with(ErrorKind::io, "no folder to download to"));
}

// A server that accepts connections and never answers.
class SilentServer {
 public:
  SilentServer() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    if (::bind(socket_, any, size) == 0 && ::listen(socket_, 8) == 0 &&
        ::getsockname(socket_, any, &size) == 0)
      port_ = ntohs(address.sin_port);
  }
  SilentServer(const SilentServer&) = delete;
  SilentServer& operator=(const SilentServer&) = delete;
  ~SilentServer() { ::close(socket_); }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

 private:
  int socket_;
  int port_ = 0;
};

TEST(FashionMnist, a_stop_ends_a_download_and_the_program_that_makes_it) {
  const TemporaryFolder folder;
  const SilentServer server;
  FashionMnistPlaces places = nowhere(folder);
  places.url = server.url();
  for (const bool before : {true, false}) {
    std::stop_source stop;
    if (before) stop.request_stop();
    const auto start = std::chrono::steady_clock::now();
    std::jthread user;
    EXPECT_THROW(load_fashion_mnist(
                     places,
                     [&](std::string_view) {
                       user = std::jthread([&stop] {
                         std::this_thread::sleep_for(std::chrono::milliseconds(300));
                         stop.request_stop();
                       });
                     },
                     stop.get_token()),
                 DownloadStopped);
    // curl itself gives up after 30 seconds.
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
    EXPECT_TRUE(fs::is_empty(places.cache));
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
  }
}

TEST(FashionMnist, places_follow_the_environment) {
  ::setenv("XDG_CACHE_HOME", "/x/cache", 1);
  ::setenv("FATWOOD_FASHION_MNIST_URL", "http://127.0.0.1:1/a/", 1);
  FashionMnistPlaces places = FashionMnistPlaces::from_environment();
  EXPECT_EQ(places.cache, "/x/cache/fatwood/fashion-mnist");
  EXPECT_EQ(places.url, "http://127.0.0.1:1/a");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  ::setenv("HOME", "/h", 1);
  ::unsetenv("FATWOOD_FASHION_MNIST_URL");
  places = FashionMnistPlaces::from_environment();
  EXPECT_EQ(places.cache, "/h/.cache/fatwood/fashion-mnist");
  EXPECT_THAT(places.url, testing::StartsWith("http://"));
  ::unsetenv("HOME");
  EXPECT_EQ(FashionMnistPlaces::from_environment().cache, "");
}

TEST(FashionMnist, the_real_files_have_the_known_counts_and_statistics) {
  FashionMnistPlaces places;
  if (!fs::exists(places.package)) GTEST_SKIP() << "needs the package dataset-fashion-mnist";
  places.given = places.package;
  const FashionMnist data = load_fashion_mnist(places);
  EXPECT_EQ(data.training.size(), 60'000);
  EXPECT_EQ(data.test.size(), 10'000);
  EXPECT_EQ(data.training.labels()[0], 9);
  const PixelStatistics statistics = pixel_statistics(data.training);
  EXPECT_NEAR(statistics.mean, 0.286041, 1e-6);
  EXPECT_NEAR(statistics.std, 0.353024, 1e-6);
}

}  // namespace
}  // namespace fatwood
