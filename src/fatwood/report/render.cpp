#include <cstdlib>
#include <filesystem>
#include <vector>

#include <fatwood/core/error.h>
#include <fatwood/report/process.h>
#include <fatwood/report/render.h>

namespace fatwood {
namespace {

constexpr int kNoVlConvert = 3;

constexpr const char* kScript =
    "import sys\n"
    "try:\n"
    "    import vl_convert\n"
    "except ImportError:\n"
    "    sys.exit(3)\n"
    "spec = sys.stdin.buffer.read().decode()\n"
    "if sys.argv[1] == 'svg':\n"
    "    sys.stdout.buffer.write(vl_convert.vegalite_to_svg(spec).encode())\n"
    "else:\n"
    "    sys.stdout.buffer.write(vl_convert.vegalite_to_png(spec, scale=2))\n";

std::vector<std::string> pythons() {
  std::vector<std::string> candidates;
  const auto add = [&](const char* variable, const std::string& below) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') candidates.push_back(value + below);
  };
  add("FATWOOD_PYTHON", "");
  candidates.emplace_back(FATWOOD_VENV_PYTHON);
  add("VIRTUAL_ENV", "/bin/python3");
  candidates.emplace_back("python3");
  return candidates;
}

}  // namespace

std::string render(const std::string& spec_json, ImageFormat format) {
  std::error_code ignored;
  for (const std::string& python : pythons()) {
    if (python.find('/') != std::string::npos && !std::filesystem::exists(python, ignored))
      continue;
    ProcessResult result;
    try {
      result = run_process(
          {python, "-I", "-c", kScript, format == ImageFormat::svg ? "svg" : "png"}, spec_json);
    } catch (const Error&) {
      continue;
    }
    if (result.exit_code == kNoVlConvert) continue;
    if (result.exit_code == 0 && !result.output.empty()) return result.output;
    const std::string reason = result.errors.substr(0, result.errors.find_last_not_of('\n') + 1);
    throw Error(ErrorKind::io, "render", python + ": vl-convert: " + reason);
  }
  throw Error(ErrorKind::io, "render",
              "no Python with vl-convert found: `pip install vl-convert-python` in the project's "
              "environment, or write .html or .vl.json, which need none");
}

}  // namespace fatwood
