#include <array>
#include <cstring>

#include <fatwood/core/error.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/train/weights.h>

namespace fatwood {

using torch::Tensor;

namespace {

struct TypePair {
  DType dtype;
  torch::ScalarType scalar;
};

constexpr std::array kTypes{
    TypePair{DType::boolean, torch::kBool},
    TypePair{DType::u8, torch::kByte},
    TypePair{DType::i8, torch::kChar},
    TypePair{DType::f8_e4m3, torch::kFloat8_e4m3fn},
    TypePair{DType::f8_e4m3fnuz, torch::kFloat8_e4m3fnuz},
    TypePair{DType::f8_e5m2, torch::kFloat8_e5m2},
    TypePair{DType::f8_e5m2fnuz, torch::kFloat8_e5m2fnuz},
    TypePair{DType::f8_e8m0, torch::kFloat8_e8m0fnu},
    TypePair{DType::i16, torch::kShort},
    TypePair{DType::u16, torch::kUInt16},
    TypePair{DType::f16, torch::kHalf},
    TypePair{DType::bf16, torch::kBFloat16},
    TypePair{DType::i32, torch::kInt},
    TypePair{DType::u32, torch::kUInt32},
    TypePair{DType::f32, torch::kFloat},
    TypePair{DType::i64, torch::kLong},
    TypePair{DType::u64, torch::kUInt64},
    TypePair{DType::f64, torch::kDouble},
    TypePair{DType::c64, torch::kComplexFloat},
};

DType dtype_of(torch::ScalarType scalar, const std::string& name) {
  for (const TypePair& pair : kTypes) {
    if (pair.scalar == scalar) return pair.dtype;
  }
  throw Error(ErrorKind::model, "save_tensors",
              name + ": " + torch::toString(scalar) + " has no counterpart in safetensors");
}

torch::ScalarType scalar_of(DType dtype) {
  for (const TypePair& pair : kTypes) {
    if (pair.dtype == dtype) return pair.scalar;
  }
  throw Error(ErrorKind::internal, "load_tensors",
              std::string(name_of(dtype)) + " is not in the table of types");
}

}  // namespace

TensorView view_of(const std::string& name, const Tensor& tensor) {
  const auto* bytes = static_cast<const ByteView::value_type*>(tensor.const_data_ptr());
  return {name, dtype_of(tensor.scalar_type(), name), tensor.sizes().vec(),
          ByteView(bytes, tensor.nbytes())};
}

Tensor tensor_of(const TensorView& view) {
  Tensor tensor = torch::empty(view.shape, torch::TensorOptions().dtype(scalar_of(view.dtype)));
  if (!view.data.empty()) std::memcpy(tensor.data_ptr(), view.data.data(), view.data.size());
  return tensor;
}

void save_tensors(const NamedTensors& tensors, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata) {
  std::vector<Tensor> held;  // keeps the copies alive until they are written
  std::vector<TensorView> views;
  for (const auto& [name, tensor] : tensors) {
    views.push_back(view_of(name, held.emplace_back(tensor.detach().to(torch::kCPU).contiguous())));
  }
  write_safetensors(path, views, metadata);
}

NamedTensors load_tensors(const std::filesystem::path& path) {
  const Safetensors file = Safetensors::read(path);
  NamedTensors tensors;
  for (const TensorView& view : file.tensors()) tensors.emplace_back(view.name, tensor_of(view));
  return tensors;
}

void save_weights(const torch::nn::Module& module, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata) {
  save_tensors(named_state(module), path, metadata);
}

void load_weights(torch::nn::Module& module, const std::filesystem::path& path) {
  load_state(module, load_tensors(path), path.string());
}

}  // namespace fatwood
