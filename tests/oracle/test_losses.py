"""Fifty steps of the loop under the one-cycle schedule: losses stay as near to PyTorch's as
PyTorch's stay to each other over its layouts and numbers of threads."""

import copy

import pytest
import torch
import torch.nn.functional as F

from reference import NETWORKS, channels_last, prefixed

STEPS = 50
LR = 0.01


@pytest.fixture
def threads():
    usual = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(usual)


@pytest.mark.parametrize("name,size", [("cnn", 32), ("deeper_cnn", 32), ("residual_cnn", 32),
                                       ("double_conv_cnn", 32), ("resnet18", 16)])
def test_losses_stay_within_twice_torchs_spread(driver, threads, name, size):
    torch.manual_seed(6)
    model = NETWORKS[name]()
    x, y = images_of_classes(STEPS * size)
    runs = []
    for count in (1, 2):
        threads(count)
        last = copy.deepcopy(model).to(memory_format=torch.channels_last)
        runs += [train(copy.deepcopy(model), x, y, size),
                 train(last, channels_last(x), y, size)]
    rates, momenta = runs[0][1:]
    theirs = torch.tensor([losses for losses, _, _ in runs], dtype=torch.float64)

    ours = driver("fit", {"x": x, "y": y, **prefixed("model.", model.state_dict())}, model=name,
                  batch_size=size, optimizer={"kind": "adamw", "lr": LR},
                  schedule={"kind": "one_cycle", "total_steps": STEPS})
    torch.testing.assert_close(ours["lr"], torch.tensor(rates, dtype=torch.float64), rtol=1e-7,
                               atol=0)
    torch.testing.assert_close(ours["momentum"], torch.tensor(momenta, dtype=torch.float64),
                               rtol=1e-7, atol=0)
    losses = ours["losses"]
    assert len(losses) == STEPS and losses[-10:].mean() < losses[:10].mean()
    # Rounding errors grow from step to step: the spread up to a step is what has come of them, and
    # a rounding of the loss itself is allowed before they have grown.
    spread = (theirs.max(0).values - theirs.min(0).values).cummax(0).values
    distance = (theirs - losses).abs().min(0).values
    bound = 2 * spread + 1e-6 * losses
    worst = (distance / bound).argmax()
    assert (distance <= bound).all(), (
        f"step {worst}: {distance[worst]:.3g} from the nearest, spread {spread[worst]:.3g}")


def images_of_classes(count):
    """Images that can be told apart with some effort: a blurred pattern per class, and noise."""
    generator = torch.Generator().manual_seed(7)
    patterns = F.interpolate(torch.randn(10, 1, 7, 7, generator=generator), scale_factor=4.0)
    y = torch.randint(10, (count,), generator=generator)
    return patterns[y] * 0.5 + torch.randn(count, 1, 28, 28, generator=generator), y


def train(model, x, y, size):
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS)
    losses, rates, momenta = [], [], []
    for i, (xb, yb) in enumerate(zip(x.split(size), y.split(size))):
        loss = F.cross_entropy(model(xb), yb)
        loss.backward()
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["betas"][0])
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if i + 1 < STEPS:
            schedule.step()
    return losses, rates, momenta
