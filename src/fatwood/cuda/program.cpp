#include <cuda.h>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <nvrtc.h>
#include <string>
#include <vector>

#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <fatwood/core/error.h>
#include <fatwood/cuda/program.h>
#include <fatwood/io/bytes.h>
#include <fatwood/io/cache_folder.h>
#include <fatwood/io/file.h>
#include <fatwood/io/sha256.h>

// As report/assets.cpp does it; the files make one source.
// clang-format off
asm(".pushsection .rodata,\"a\",@progbits\n"
    "fatwood_cuda_kernels:\n"
    ".incbin \"" FATWOOD_CUDA_FOLDER "/kernels.cu\"\n"
    ".incbin \"" FATWOOD_CUDA_FOLDER "/elementwise.cu\"\n"
    ".incbin \"" FATWOOD_CUDA_FOLDER "/cross_entropy.cu\"\n"
    ".incbin \"" FATWOOD_CUDA_FOLDER "/activation_norm.cu\"\n"
    ".incbin \"" FATWOOD_CUDA_FOLDER "/tiles.h\"\n"
    ".incbin \"" FATWOOD_CUDA_FOLDER "/convolution.cu\"\n"
    ".incbin \"" FATWOOD_CUDA_FOLDER "/weight_gradient.cu\"\n"
    ".byte 0\n.popsection\n");
// clang-format on
extern "C" const char fatwood_cuda_kernels[];

namespace fatwood::cuda {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorKind::internal, "cuda", what);
}

// LibTorch brings both libraries, behind one of its own; the program itself links neither, so that
// it starts where there is no driver.
struct Libraries {
#define FATWOOD_FUNCTION(name) decltype(&::name) name = find<decltype(&::name)>(#name)
  void* handle = dlopen("libcaffe2_nvrtc.so", RTLD_NOW | RTLD_LOCAL);
  template <class Function>
  Function find(const char* name) const {
    if (!handle) {
      const char* why = dlerror();
      fail(std::string("LibTorch's libcaffe2_nvrtc.so cannot be loaded: ") + (why ? why : ""));
    }
    void* found = dlsym(handle, name);
    if (!found) fail(std::string(name) + " is in none of CUDA's libraries");
    return reinterpret_cast<Function>(found);
  }
  FATWOOD_FUNCTION(nvrtcCreateProgram);
  FATWOOD_FUNCTION(nvrtcCompileProgram);
  FATWOOD_FUNCTION(nvrtcDestroyProgram);
  FATWOOD_FUNCTION(nvrtcGetCUBIN);
  FATWOOD_FUNCTION(nvrtcGetCUBINSize);
  FATWOOD_FUNCTION(nvrtcGetErrorString);
  FATWOOD_FUNCTION(nvrtcGetProgramLog);
  FATWOOD_FUNCTION(nvrtcGetProgramLogSize);
  FATWOOD_FUNCTION(nvrtcVersion);
  FATWOOD_FUNCTION(cuCtxGetCurrent);
  FATWOOD_FUNCTION(cuCtxSetCurrent);
  FATWOOD_FUNCTION(cuDeviceGet);
  FATWOOD_FUNCTION(cuDeviceGetAttribute);
  FATWOOD_FUNCTION(cuDevicePrimaryCtxRetain);
  FATWOOD_FUNCTION(cuFuncSetAttribute);
  FATWOOD_FUNCTION(cuGetErrorString);
  FATWOOD_FUNCTION(cuLaunchKernel);
  FATWOOD_FUNCTION(cuModuleGetFunction);
  FATWOOD_FUNCTION(cuModuleLoadData);
#undef FATWOOD_FUNCTION

  void check(CUresult result, const char* what) const {
    if (result == CUDA_SUCCESS) return;
    const char* why = nullptr;
    cuGetErrorString(result, &why);
    fail(std::string(what) + ": " + (why ? why : std::to_string(result)));
  }
  void check(nvrtcResult result, const char* what) const {
    if (result != NVRTC_SUCCESS) fail(std::string(what) + ": " + nvrtcGetErrorString(result));
  }
};

const Libraries& libraries() {
  static const Libraries found;
  return found;
}

/// The kernels are compiled in three parts, since not every run needs all of them.
const char* part_of(std::string_view kernel) {
  if (!kernel.starts_with("convolve_") && !kernel.starts_with("weight_gradient_"))
    return "FATWOOD_MODULE_BASE";
  return kernel.ends_with("_f32") ? "FATWOOD_MODULE_CONVOLUTION_F32"
                                  : "FATWOOD_MODULE_CONVOLUTION_BF16";
}

Bytes compile(const std::string& architecture, const std::string& part) {
  const Libraries& cuda = libraries();
  const std::string target = "--gpu-architecture=" + architecture, define = "-D" + part;
  const char* options[] = {target.c_str(), "--std=c++17", define.c_str()};
  nvrtcProgram program = nullptr;
  cuda.check(
      cuda.nvrtcCreateProgram(&program, fatwood_cuda_kernels, "kernels.cu", 0, nullptr, nullptr),
      "compiler");
  struct Ending {
    const Libraries& cuda;
    nvrtcProgram* program;
    ~Ending() { cuda.nvrtcDestroyProgram(program); }
  } ending{cuda, &program};
  const nvrtcResult result = cuda.nvrtcCompileProgram(program, 3, options);
  if (result != NVRTC_SUCCESS) {
    std::size_t size = 0;
    cuda.check(cuda.nvrtcGetProgramLogSize(program, &size), "compiler");
    std::string log(size, '\0');
    cuda.check(cuda.nvrtcGetProgramLog(program, log.data()), "compiler");
    fail("kernels.cu for " + architecture + ": " + log);
  }
  std::size_t size = 0;
  cuda.check(cuda.nvrtcGetCUBINSize(program, &size), "compiler");
  Bytes code(size);
  cuda.check(cuda.nvrtcGetCUBIN(program, reinterpret_cast<char*>(code.data())), "compiler");
  return code;
}

int attribute_of(int device, CUdevice_attribute attribute) {
  const Libraries& cuda = libraries();
  CUdevice handle = 0;
  int value = 0;
  cuda.check(cuda.cuDeviceGet(&handle, device), "device");
  cuda.check(cuda.cuDeviceGetAttribute(&value, attribute, handle), "device");
  return value;
}

std::string architecture_of(int device) {
  return "sm_" +
         std::to_string(attribute_of(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)) +
         std::to_string(attribute_of(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR));
}

/// compile(), or what it gave before: compiling takes seconds, so its result is kept in the cache
/// folder, under the digest of all that it depends on and with its own digest in front.
Bytes code_of(int device, const std::string& part) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20;
  constexpr std::ptrdiff_t kDigest = 64;
  const std::string architecture = architecture_of(device);
  int major = 0, minor = 0;
  libraries().check(libraries().nvrtcVersion(&major, &minor), "compiler");
  const std::string key = architecture + " " + part + " " + std::to_string(major) + "." +
                          std::to_string(minor) + "\n" + fatwood_cuda_kernels;
  const std::filesystem::path folder = cache_folder();
  if (folder.empty()) return compile(architecture, part);
  const std::filesystem::path path =
      folder / "cuda" / (sha256_hex(as_bytes(key)).substr(0, 32) + ".cubin");
  try {
    const Bytes kept = read_file(path, kMostBytes);
    if (std::ssize(kept) > kDigest) {
      Bytes code(kept.begin() + kDigest, kept.end());
      if (sha256_hex(code) == std::string(kept.begin(), kept.begin() + kDigest)) return code;
    }
  } catch (const Error&) {
    // Not there yet, or not to be read: it is made.
  }
  Bytes code = compile(architecture, part);
  try {
    create_folders(path.parent_path());
    AtomicFile file(path);
    file.write(as_bytes(sha256_hex(code)));
    file.write(code);
    file.commit();
  } catch (const Error&) {
    // A cache that cannot be written costs the next start its seconds, and nothing else.
  }
  return code;
}

/// A device's kernels; loaded until the process ends, as LibTorch's own are.
struct Loaded {
  CUmodule module = nullptr;
  std::map<std::string, CUfunction, std::less<>> functions;
};

/// The driver wants a context that is the thread's own; CUDA's runtime, through which LibTorch
/// goes, makes the device's one current at a thread's first call, which may be yet to come.
void enter_context(int device) {
  const Libraries& cuda = libraries();
  CUcontext context = nullptr;
  cuda.check(cuda.cuCtxGetCurrent(&context), "context");
  if (context) return;
  CUdevice handle = 0;
  cuda.check(cuda.cuDeviceGet(&handle, device), "context");
  cuda.check(cuda.cuDevicePrimaryCtxRetain(&context, handle), "context");
  cuda.check(cuda.cuCtxSetCurrent(context), "context");
}

CUfunction function_of(const char* kernel) {
  static std::mutex mutex;
  static std::map<std::pair<int, std::string>, Loaded> parts;
  const std::scoped_lock lock(mutex);
  const int device = c10::cuda::current_device();
  enter_context(device);
  const std::string part = part_of(kernel);
  Loaded& loaded = parts[{device, part}];
  const Libraries& cuda = libraries();
  if (!loaded.module) {
    const Bytes code = code_of(device, part);
    cuda.check(cuda.cuModuleLoadData(&loaded.module, code.data()), "kernels.cu");
  }
  const auto found = loaded.functions.find(kernel);
  if (found != loaded.functions.end()) return found->second;
  CUfunction function = nullptr;
  cuda.check(cuda.cuModuleGetFunction(&function, loaded.module, kernel), kernel);
  // Beyond 48 KiB a kernel has to be allowed what it is launched with.
  if (std::string_view(kernel).starts_with("convolve_"))
    cuda.check(cuda.cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                       kMostSharedBytes),
               kernel);
  return loaded.functions[kernel] = function;
}

}  // namespace

std::int64_t multiprocessors() {
  return attribute_of(c10::cuda::current_device(), CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
}

bool multiplies_tf32() {
  return attribute_of(c10::cuda::current_device(), CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) >=
         8;
}

void launch(const char* kernel, Grid grid, std::int64_t threads, void** arguments,
            std::int64_t shared_bytes) {
  const CUfunction function = function_of(kernel);
  const auto number = [](std::int64_t n) { return static_cast<unsigned>(n); };
  libraries().check(
      libraries().cuLaunchKernel(function, number(grid.x), number(grid.y), number(grid.z),
                                 number(threads), 1, 1, number(shared_bytes),
                                 c10::cuda::getCurrentCUDAStream().stream(), arguments, nullptr),
      kernel);
}

}  // namespace fatwood::cuda
