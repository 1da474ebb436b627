#include <sstream>

#include <fatwood/core/error.h>
#include <fatwood/model/adaptor.h>
#include <fatwood/model/libtorch.h>

namespace fatwood {

Adaptor::Adaptor(Options module) : module_(std::move(module)) {
  if (const auto* any = std::get_if<torch::nn::AnyModule>(&module_)) {
    register_module("module", any->ptr());
    return;
  }
  const auto& sequence = std::get<std::shared_ptr<torch::nn::SequentialImpl>>(module_);
  register_module("module", sequence);
  const auto children = sequence->named_children();
  std::size_t i = 0;
  for (const torch::nn::AnyModule& part : *sequence) {
    auto layer = std::dynamic_pointer_cast<Layer>(part.ptr());
    parts_.push_back({children[i++].key(), layer ? std::move(layer) : make<Adaptor>(part)});
  }
}

const torch::nn::Module& Adaptor::module() const {
  return *children().front();
}

std::string Adaptor::kind() const {
  std::string name = module().name();
  if (const auto colon = name.rfind(':'); colon != std::string::npos) name.erase(0, colon + 1);
  if (name.ends_with("Impl")) name.erase(name.size() - 4);
  return name;
}

std::string Adaptor::description() const {
  std::ostringstream text;
  module().pretty_print(text);
  return text.str();
}

LayerPtr Adaptor::remake() const {
  throw Error(ErrorKind::model, "clone",
              kind() + ": an adapted module cannot be cloned through its adaptor");
}

void Adaptor::train(bool on) {
  Layer::train(on);
  for (const NamedLayer& part : parts_) part.layer->train(on);
}

Tensor Adaptor::compute(const Tensor& x) {
  if (auto* any = std::get_if<torch::nn::AnyModule>(&module_)) return any->forward<Tensor>(x);
  Tensor y = x;
  for (const NamedLayer& part : parts_) y = part.layer->forward(y);
  return y;
}

}  // namespace fatwood
