"""The count of a training step's multiply–adds, against PyTorch's own and against fatwood's summary."""
import os
import subprocess

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import sections
import work
from contest import Setting
from networks import network

PAGE = (8, 16, 32, 64, 128)
NETWORKS = ["conv", "residual", "double", "resnet18"]


@pytest.mark.parametrize("size, kernel, stride, padding, dilation",
                         [(28, 5, 1, 2, 1), (28, 3, 2, 1, 1), (7, 3, 2, 1, 1), (1, 3, 1, 1, 1), (2, 5, 2, 2, 1), (28, 7, 2, 3, 1), (9, 3, 1, 2, 2)])
def test_taps_inside_are_what_a_convolution_of_ones_adds_up_to(size, kernel, stride, padding, dilation):
    image = F.conv1d(torch.ones(1, 1, size), torch.ones(1, 1, kernel), stride=stride, padding=padding, dilation=dilation)
    assert work.taps(size, kernel, stride, padding, dilation) == (image.sum().item(), image.numel() * kernel)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_with_taps_on_padding_is_what_pytorch_counts(name):
    batch = 2
    with torch.device("meta"):
        model = network(name, 3, PAGE)
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(batch, 3, 30, 30)).sum().backward()
    assert work.step_products(name, 3, 30, PAGE)["step"][1] == counter.get_total_flops() / 2 / batch


@pytest.mark.parametrize("name, model", [("conv", "deeper_cnn"), ("residual", "residual_cnn"), ("double", "double_conv_cnn"), ("resnet18", "resnet18")])
def test_a_forward_pass_with_taps_on_padding_is_what_summary_counts(name, model):
    printed = subprocess.run([os.environ["FATWOOD_PROGRAM"], "summary", "--model", model], capture_output=True, text=True, check=True).stdout
    total = next(line for line in printed.splitlines() if line.startswith("| Total"))
    millions = work.step_products(name, 1, 28, PAGE)["forward"][1] * 1e-6
    assert total.split("|")[6].strip() == f"{millions:.3f}"


def test_padding_makes_a_fifth_of_the_conv_networks_products():
    inside, all_taps = work.step_products("conv", 1, 28, PAGE)["step"]
    assert 0.80 < inside / all_taps < 0.81


@pytest.mark.parametrize("name", NETWORKS[:3])
def test_batches_by_width_keep_a_step_within_the_limit(name):
    batches = [sections.batch_for(name, (width,) * 5) for width in sections.WIDTHS]
    assert batches == sorted(batches, reverse=True) and batches[0] == 512
    for width, batch in zip(sections.WIDTHS, batches):
        assert batch == 32 or work.step_gflop(Setting(name, batch, features=(width,) * 5)) <= sections.MOST_GFLOP
