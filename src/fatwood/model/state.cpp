#include <unordered_map>
#include <unordered_set>

#include <fatwood/core/error.h>
#include <fatwood/model/adaptor.h>
#include <fatwood/model/layer.h>
#include <fatwood/model/libtorch.h>
#include <fatwood/model/state.h>

namespace fatwood {
namespace {

void collect(const torch::nn::Module& module, const std::string& prefix, bool buffers,
             NamedTensors& state) {
  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
    if (item.value().defined()) state.emplace_back(prefix + item.key(), item.value());
  }
  if (buffers) {
    for (const auto& item : module.named_buffers(/*recurse=*/false)) {
      if (item.value().defined()) state.emplace_back(prefix + item.key(), item.value());
    }
  }
  const bool transparent = dynamic_cast<const Adaptor*>(&module) != nullptr;
  for (const auto& item : module.named_children()) {
    collect(*item.value(), transparent ? prefix : prefix + item.key() + ".", buffers, state);
  }
}

}  // namespace

NamedTensors named_state(const torch::nn::Module& module) {
  NamedTensors state;
  collect(module, "", /*buffers=*/true, state);
  return state;
}

NamedTensors named_parameters(const torch::nn::Module& module) {
  NamedTensors state;
  collect(module, "", /*buffers=*/false, state);
  return state;
}

void load_state(torch::nn::Module& module, const NamedTensors& state, const std::string& source) {
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::model, "load_state", source + ": " + what);
  };
  std::unordered_map<std::string, torch::Tensor> given(state.begin(), state.end());
  const NamedTensors wanted = named_state(module);
  for (const auto& [name, tensor] : wanted) {
    const auto found = given.find(name);
    if (found == given.end()) fail(name + " is missing, wanted " + shape_text(tensor.sizes()));
    if (found->second.sizes() != tensor.sizes()) {
      fail(name + " is " + shape_text(found->second.sizes()) + ", wanted " +
           shape_text(tensor.sizes()));
    }
  }
  if (given.size() > wanted.size()) {
    std::unordered_set<std::string> names;
    for (const auto& [name, tensor] : wanted) names.insert(name);
    for (const auto& [name, tensor] : state) {
      if (!names.contains(name)) fail(name + " is not in the model");
    }
  }
  const torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : wanted) tensor.copy_(given.at(name));
}

void copy_state(const torch::nn::Module& from, torch::nn::Module& to) {
  const torch::NoGradGuard no_grad;
  const NamedTensors source = named_state(from);
  NamedTensors target = named_state(to);
  if (source.size() != target.size()) {
    throw Error(
        ErrorKind::model, "copy_state",
        std::to_string(source.size()) + " tensors, the copy has " + std::to_string(target.size()));
  }
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i].first != target[i].first) {
      throw Error(ErrorKind::model, "copy_state",
                  source[i].first + ", the copy has " + target[i].first);
    }
    target[i].second.set_data(source[i].second.detach().clone());
    target[i].second.set_requires_grad(source[i].second.requires_grad());
  }
}

std::int64_t count_parameters(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const auto& [name, parameter] : named_parameters(module)) count += parameter.numel();
  return count;
}

}  // namespace fatwood
