// A plan in words: which kernels a layer's operations are.
#include <fatwood/kernels/plan.h>

namespace fatwood::kernels {
namespace {

std::string followed_by(const Value& value) {
  const std::string activation = value.activation.slope == 0   ? ", relu"
                                 : value.activation.slope != 1 ? ", leaky relu"
                                                               : "";
  if (value.late) return ", norm" + activation + " on load";
  return activation + (value.norm ? ", norm" : "");
}

// How the passes run that have a choice.
std::string ways_of(const Plan& plan, const Convolution& c) {
  std::string text = " [";
  if (c.winograd_forward) text += "forward: Winograd; ";
  if (c.winograd && !c.gradient_parts.empty()) text += "input gradient: Winograd; ";
  text += "weight gradient: ";
  if (c.winograd_gradient) return text + "Winograd]";
  if (!c.channel_lanes)
    return text + (plan.bf16() ? "channels in the lanes, each twice]" : "images in the lanes]");
  text += "channels in the lanes";
  if (c.vectors > 1) text += " ×" + std::to_string(c.vectors);
  if (c.chunk > 1) text += ", " + std::to_string(c.chunk) + " groups a pass";
  return text + "]";
}

std::string text_of(const Convolution& c) {
  std::string text = "conv " + std::to_string(c.shape.ks) + "×" + std::to_string(c.shape.ks) + "/" +
                     std::to_string(c.shape.stride);
  if (c.middle.data()) text = "conv by its middle tap";
  return text + " " + std::to_string(c.shape.c_in) + " → " + std::to_string(c.shape.c_out);
}

std::string text_of(const Plan& plan, const Operation& operation) {
  if (const Convolution* c = operation.convolution) {
    return text_of(*c) + followed_by(*c->out) + ways_of(plan, *c);
  }
  if (const Junction* j = operation.junction) {
    std::string identity = j->pooled ? "average pool" : "identity";
    if (j->projected) identity = (j->pooled ? identity + " and " : "") + text_of(j->projection);
    return "sum with " + identity + followed_by(*j->out);
  }
  return operation.pooling->max ? "max pool" : "mean over pixels";
}

}  // namespace

std::string describe(const Plan& plan, std::size_t layer) {
  std::string text;
  const std::size_t begin = layer == 0 ? 0 : plan.layer_outputs[layer - 1];
  for (std::size_t i = begin; i < plan.layer_outputs[layer]; ++i) {
    text += (text.empty() ? "" : "; ") + text_of(plan, plan.operations[i]);
  }
  return (plan.bf16() ? "bf16: " : "") + text;
}

}  // namespace fatwood::kernels
