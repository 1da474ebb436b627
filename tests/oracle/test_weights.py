"""Weights go both ways under the original's keys, and start as the original's do."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from agreement import assert_as_exact_as_torch, in_both_layouts, in_double
from reference import NETWORKS, trained_looking

SEEDS = (0, 1, 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_that_python_saves_compute_the_same_here(driver, tmp_path, name):
    model = trained_looking(NETWORKS[name], seed=4)
    save_file(model.state_dict(), tmp_path / "weights")
    assert_computes_as(driver, model, name, tmp_path / "weights")


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_saved_here_load_strictly_and_start_as_in_python(driver, tmp_path, name):
    ours, theirs = [], []
    for seed in SEEDS:
        torch.manual_seed(1000 + seed)
        model = NETWORKS[name]()
        theirs.append({key: tensor.clone() for key, tensor in model.state_dict().items()})
        path = tmp_path / str(seed)
        ours.append(driver("init", model=name, seed=seed, out=str(path)))
        model.load_state_dict(load_file(path), strict=True)
    assert_computes_as(driver, model, name, path)

    for key in theirs[0]:
        a, b = (torch.cat([draw[key].flatten() for draw in draws]) for draws in (ours, theirs))
        if torch.equal(b, b[:1].expand_as(b)):  # a constant
            assert torch.equal(a, b), key
        else:
            assert_drawn_alike(a, b, key)


def assert_computes_as(driver, model, name, path):
    x, y = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(3)), torch.arange(4)
    ours = driver("pass", {"x": x, "y": y}, model=name, weights=str(path), training=False)
    layouts = in_both_layouts(model, x, y, training=False)
    exact = {key: value for key, value in in_double(model, x, y, training=False).items()
             if not key.startswith("grad.")}
    assert_as_exact_as_torch({key: ours[key] for key in exact}, layouts, exact)


def assert_drawn_alike(a, b, key):
    """Two samples of one distribution: means and deviations within 5 of their standard errors, and
    the two-sample Kolmogorov–Smirnov statistic within its value at p = 1e-5."""
    n, deviation = a.numel(), b.std().item()
    assert abs((a.mean() - b.mean()).item()) <= 5 * deviation * math.sqrt(2 / n), key
    assert abs(a.std().item() / deviation - 1) <= 5 / math.sqrt(n), key
    a, b = (t[torch.randperm(n)[:20_000]].sort().values for t in (a, b))
    grid = torch.cat([a, b]).sort().values
    gaps = (torch.searchsorted(a, grid, right=True) - torch.searchsorted(b, grid, right=True)).abs()
    assert gaps.max().item() / len(a) <= math.sqrt(-math.log(1e-5 / 2) / len(a)), key
