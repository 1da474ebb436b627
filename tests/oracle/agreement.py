"""What it means to agree with PyTorch: to be about as exact as PyTorch is itself."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from reference import GeneralReLU, channels_last, prefixed


def one_pass(model, x, y, training):
    """Logits, loss, gradients, and the state afterwards. Leaves `model` as it is."""
    model = copy.deepcopy(model).train(training)
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.detach(), "loss": loss.detach(), **prefixed("grad.", gradients),
            **prefixed("model.", model.state_dict())}


def in_both_layouts(model, x, y, training):
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    return [one_pass(model, x.contiguous(), y, training),
            one_pass(last, channels_last(x), y, training)]


def in_double(model, x, y, training):
    return one_pass(copy.deepcopy(model).double(), x.double(), y, training)


def largest_error(tensor, exact):
    return (tensor.double() - exact.double()).abs().max().item()


def assert_as_exact_as_torch(ours, layouts, exact):
    """Error against f64 at most 4 times that of the worse layout, plus 1e-6 of the tensor's largest
    entry."""
    assert ours.keys() == exact.keys()
    for name, wanted in exact.items():
        assert ours[name].shape == wanted.shape, name
        error = largest_error(ours[name], wanted)
        bound = (4 * max(largest_error(layout[name], wanted) for layout in layouts)
                 + 1e-6 * wanted.double().abs().max().item())
        assert error <= bound, f"{name}: error {error:.3g}, bound {bound:.3g}"


def distance_to_kinks(model, x, training):
    """How near an activation comes to where its derivative jumps, in deviations of its tensor, and
    how near the two largest entries of a pooling window come to each other. Nearer than rounding,
    two exact implementations may differ by a whole sample's gradient."""
    nearest = []

    def activation(module, inputs):
        nearest.append((inputs[0].abs().min() / inputs[0].std()).item())

    def pooling(module, inputs):
        x, = inputs
        windows = F.unfold(x.flatten(0, 1).unsqueeze(1), module.kernel_size,
                           padding=module.padding, stride=module.stride)
        first, second = windows.topk(2, dim=1).values.unbind(1)
        nearest.append(((first - second)[first > 0].min() / x.std()).item())

    model = copy.deepcopy(model).double().train(training)
    for module in model.modules():
        if isinstance(module, (GeneralReLU, nn.ReLU)):
            module.register_forward_pre_hook(activation)
        elif isinstance(module, nn.MaxPool2d):
            module.register_forward_pre_hook(pooling)
    with torch.no_grad():
        model(x.double())
    return min(nearest)


def batch_off_the_kinks(model, training, size=12, distance=2e-6):
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(size, 1, 28, 28, generator=generator)
        if distance_to_kinks(model, x, training) > distance:
            return x, torch.randint(10, (size,), generator=generator)
    raise AssertionError("no batch keeps its distance")
