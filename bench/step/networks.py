"""The page's networks as one writes them in PyTorch."""
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import nn


class Conv(nn.Module):
    def __init__(self, i, o, ks, stride, act=True):
        super().__init__()
        self.conv = nn.Conv2d(i, o, ks, stride, ks // 2, bias=False)
        self.norm = nn.BatchNorm2d(o)
        self.act = act

    def forward(self, x):
        x = self.conv(x)
        return self.norm(F.leaky_relu(x, 0.1) - 0.4 if self.act else x)


class Residual(nn.Module):
    def __init__(self, i, o, ks, stride, act=True):
        super().__init__()
        self.a, self.b = Conv(i, o, ks, 1, act), Conv(o, o, ks, stride, False)
        self.id, self.stride, self.act = nn.Conv2d(i, o, 1), stride, act

    def forward(self, x):
        identity = F.avg_pool2d(x, 2, ceil_mode=True) if self.stride == 2 else x
        x = self.b(self.a(x)) + self.id(identity)
        return F.leaky_relu(x, 0.1) - 0.4 if self.act else x


class Double(nn.Sequential):
    def __init__(self, i, o, ks, stride, act=True):
        super().__init__(Conv(i, o, ks, 1, act), Conv(o, o, ks, stride, act))


def network(name, channels, features):
    if name == "resnet18":
        sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests/oracle"))
        import timm_alone  # noqa: F401, lets timm do without torchvision
        import timm
        return timm.create_model("resnet18", in_chans=channels, num_classes=10)
    block = {"conv": Conv, "residual": Residual, "double": Double}[name]
    sizes = [channels, *features, 10]
    return nn.Sequential(*[block(sizes[i], sizes[i + 1], 5 if i == 0 else 3, 1 if i == 0 else 2, i + 2 < len(sizes))
                           for i in range(len(sizes) - 1)], nn.Flatten())


def example(batch, channels, size, layout):
    x = torch.randn(batch, channels, size, size)
    if layout == torch.channels_last:
        # With one channel .to() would keep strides that lead to the slower way.
        x = torch.empty_strided(x.shape, (channels * size * size, 1, size * channels, channels)).copy_(x)
    return x, torch.randint(0, 10, (batch,))
