#include <cstdlib>

#include <fatwood/core/error.h>
#include <fatwood/core/version.h>

int main() {
  const fatwood::Error error(fatwood::ErrorKind::data, "consumer", fatwood::kVersion);
  return error.exit_code() == 3 ? EXIT_SUCCESS : EXIT_FAILURE;
}
