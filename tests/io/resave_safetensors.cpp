// resave_safetensors IN OUT: reads IN and writes all of it to OUT. The other half of
// test_safetensors.py; exits as the main program does.
#include <iostream>

#include <fatwood/core/error.h>
#include <fatwood/io/safetensors.h>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: resave_safetensors IN OUT\n";
    return static_cast<int>(fatwood::ErrorKind::usage);
  }
  try {
    const auto file = fatwood::Safetensors::read(argv[1]);
    fatwood::write_safetensors(argv[2], file.tensors(), file.metadata());
  } catch (const fatwood::Error& error) {
    std::cerr << error.what() << '\n';
    return error.exit_code();
  }
}
