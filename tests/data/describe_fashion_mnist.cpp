// describe_fashion_mnist PACKAGE-FOLDER: loads FashionMNIST as the program does, from the places
// that the environment names and PACKAGE-FOLDER, and prints what it found. The other half of
// test_download.py; exits as the main program does.
#include <iostream>

#include <fatwood/core/error.h>
#include <fatwood/data/fashion_mnist.h>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: describe_fashion_mnist PACKAGE-FOLDER\n";
    return static_cast<int>(fatwood::ErrorKind::usage);
  }
  try {
    auto places = fatwood::FashionMnistPlaces::from_environment();
    places.package = argv[1];
    const auto data = fatwood::load_fashion_mnist(
        places, [](std::string_view line) { std::cout << line << '\n'; });
    std::cout << data.training.size() << ' ' << data.test.size() << ' ' << data.folder.string()
              << '\n';
  } catch (const fatwood::Error& error) {
    std::cerr << error.what() << '\n';
    return error.exit_code();
  }
}
