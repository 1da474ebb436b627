"""The multiply–adds of a training step, and the time that they take at least."""
import torch
from torch import nn

from networks import network


def taps(size, kernel, stride, padding, dilation):
    """Along one axis, over all outputs: the taps that fall inside the image, and all."""
    outputs = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    inside = sum(0 <= o * stride - padding + k * dilation < size for o in range(outputs) for k in range(kernel))
    return inside, outputs * kernel


def layer_products(layer, x):
    """Multiply–adds of one image's forward pass: on pixels inside the image, and with those on padding."""
    if isinstance(layer, nn.Linear):
        return (layer.in_features * layer.out_features,) * 2
    axes = [taps(x.shape[2 + d], layer.kernel_size[d], layer.stride[d], layer.padding[d], layer.dilation[d]) for d in (0, 1)]
    channels = layer.in_channels * layer.out_channels // layer.groups
    return tuple(channels * y * x for y, x in zip(*axes))


def step_products(name, channels, size, features):
    """Multiply–adds an image, each without and with taps on padding: of the forward pass, and of a step, in which
    every layer has two more passes, or one where its input is the image, whose gradient nobody needs."""
    found = {"forward": [0, 0], "step": [0, 0]}

    def add(layer, inputs, _):
        passes = {"forward": 1, "step": 3 if inputs[0].requires_grad else 2}
        for i, products in enumerate(layer_products(layer, inputs[0])):
            for what, times in passes.items():
                found[what][i] += times * products

    with torch.device("meta"):  # shapes alone: nothing is computed
        model = network(name, channels, features)
        for module in model.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.register_forward_hook(add)
        model(torch.empty(2, channels, size, size))
    return found


def step_gflop(setting):
    """Of a whole batch, taps on padding not counted: what no direct convolution can do without."""
    return 2e-9 * setting.batch * step_products(setting.network, setting.channels, setting.size, setting.features)["step"][0]
