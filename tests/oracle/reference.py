"""The networks in plain PyTorch, written from the page's definitions; resnet18 is timm's own."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

import timm_alone


class GeneralReLU(nn.Module):
    def forward(self, x):
        return F.leaky_relu(x, 0.1) - 0.4


class Conv(nn.Conv2d):
    def __init__(self, c_in, c_out, stride=2, ks=3, act=True, norm=True):
        super().__init__(c_in, c_out, ks, stride=stride, padding=ks // 2, bias=not norm)
        self.act = GeneralReLU() if act else nn.Identity()
        self.norm = nn.BatchNorm2d(c_out) if norm else nn.Identity()

    def forward(self, x):
        return self.norm(self.act(super().forward(x)))


class ResidualConvBlock(nn.Module):
    def __init__(self, c_in, c_out, stride=2, ks=3, act=True, norm=True):
        super().__init__()
        self.conv_a = Conv(c_in, c_out, 1, ks, act, norm)
        self.conv_b = Conv(c_out, c_out, stride, ks, False, norm)
        self.id_conv = nn.Conv2d(c_in, c_out, 1)
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if stride == 2 else nn.Identity()
        self.act = GeneralReLU() if act else nn.Identity()
        self.widens = c_in != c_out

    def forward(self, x):
        identity = self.pool(x)
        if self.widens:
            identity = self.id_conv(identity)
        return self.act(self.conv_b(self.conv_a(x)) + identity)


class DoubleConvBlock(nn.Module):
    def __init__(self, c_in, c_out, stride=2, ks=3, act=True, norm=True):
        super().__init__()
        self.conv_a = Conv(c_in, c_out, 1, ks, act, norm)
        self.conv_b = Conv(c_out, c_out, stride, ks, act, norm)

    def forward(self, x):
        return self.conv_b(self.conv_a(x))


class CNN(nn.Module):
    def __init__(self, block, nfs, first_stride):
        super().__init__()
        self.layers = nn.Sequential(
            block(1, nfs[0], first_stride, 5),
            *(block(c_in, c_out) for c_in, c_out in zip(nfs, nfs[1:])),
            block(nfs[-1], 10, act=False))
        for module in self.modules():
            if isinstance(module, Conv):
                slope = 0.1 if isinstance(module.act, GeneralReLU) else 0
                nn.init.kaiming_normal_(module.weight, slope)

    def forward(self, x):
        return self.layers(x).flatten(1)


DEEPER = (8, 16, 32, 64, 128)

NETWORKS = {
    "cnn": partial(CNN, Conv, (8, 16, 32, 64), 2),
    "deeper_cnn": partial(CNN, Conv, DEEPER, 1),
    "residual_cnn": partial(CNN, ResidualConvBlock, DEEPER, 1),
    "double_conv_cnn": partial(CNN, DoubleConvBlock, DEEPER, 1),
    "resnet18": timm_alone.resnet18,
}

# Neighbours of equal width: their blocks leave id_conv out, which then has no gradient.
NARROW = (8, 8, 16, 16, 32)


def narrow_residual_cnn():
    return CNN(ResidualConvBlock, NARROW, 1)


def trained_looking(build, seed):
    """A network whose norms, biases and running statistics are as mixed as after training, so that
    none of them can be left out unnoticed (timm's last norm of a block starts as zero)."""
    torch.manual_seed(seed)
    model = build()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
                module.num_batches_tracked.fill_(17)
    return model


def channels_last(x):
    """The strides that LibTorch takes for channels-last, which `.to(memory_format=...)` leaves out
    when there is one channel."""
    n, c, h, w = x.shape
    return torch.empty_strided((n, c, h, w), (c * h * w, 1, w * c, c), dtype=x.dtype).copy_(x)


def prefixed(prefix, tensors):
    return {prefix + name: tensor for name, tensor in tensors.items()}
