"""Every schedule against the PyTorch scheduler that it names, at every step."""

import warnings

import pytest
import torch
from torch.optim import lr_scheduler as schedulers

BASE = 0.01


def one_cycle(steps, **options):
    theirs = dict(options)
    if theirs.pop("linear", False):
        theirs["anneal_strategy"] = "linear"
    return ({"kind": "one_cycle", "total_steps": steps, **options},
            lambda o: schedulers.OneCycleLR(o, max_lr=BASE, total_steps=steps, **theirs), steps)


def cosine(t_max, steps, eta_min=0.0):
    return ({"kind": "cosine", "t_max": t_max, "eta_min": eta_min},
            lambda o: schedulers.CosineAnnealingLR(o, t_max, eta_min), steps)


def linear(total, steps, start=1 / 3, end=1.0):
    return ({"kind": "linear", "total_steps": total, "start_factor": start, "end_factor": end},
            lambda o: schedulers.LinearLR(o, start, end, total), steps)


def exponential(gamma, steps):
    return ({"kind": "exponential", "gamma": gamma},
            lambda o: schedulers.ExponentialLR(o, gamma), steps)


def step(size, steps, gamma=0.1):
    return ({"kind": "step", "step_size": size, "gamma": gamma},
            lambda o: schedulers.StepLR(o, size, gamma), steps)


def constant(steps):
    return {"kind": "constant"}, lambda o: schedulers.LambdaLR(o, lambda _: 1), steps


def sequence(parts, milestones, steps):
    return ({"kind": "sequence", "parts": [part[0] for part in parts], "milestones": milestones},
            lambda o: schedulers.SequentialLR(o, [part[1](o) for part in parts], milestones), steps)


CASES = {
    **{f"one_cycle_{n}": one_cycle(n) for n in (1, 2, 3, 4, 5, 7, 10, 20, 50, 118, 354)},
    "one_cycle_options": one_cycle(40, pct_start=0.55, div_factor=10.0, final_div_factor=50.0,
                                   base_momentum=0.8, max_momentum=0.9),
    "one_cycle_linear": one_cycle(37, linear=True),
    "one_cycle_never_rises": one_cycle(12, pct_start=0.0),
    "one_cycle_only_rises": one_cycle(12, pct_start=1.0),
    "cosine_1": cosine(1, 2),
    "cosine_20": cosine(20, 21),
    "cosine_354_floor": cosine(354, 355, eta_min=1e-4),
    "cosine_beyond_its_end": cosine(10, 45),
    "linear_5": linear(5, 12),
    "linear_down": linear(30, 30, start=1.0, end=0.01),
    "exponential": exponential(0.97, 118),
    "step": step(30, 118),
    "step_1": step(1, 20, gamma=0.5),
    "constant": constant(7),
    "warm_cosine": sequence([linear(5, 0, start=0.1), cosine(45, 0)], [5], 50),
    "warm_exponential": sequence([linear(20, 0), exponential(0.9, 0)], [20], 60),
    "warm_cosine_step": sequence([linear(8, 0), cosine(30, 0), step(10, 0)], [8, 38], 80),
}


@pytest.fixture(scope="module")
def ours(driver):
    wanted = [{"name": name, "steps": steps, **spec} for name, (spec, _, steps) in CASES.items()]
    return driver("schedule", schedules=wanted, base_lr=BASE)


@pytest.mark.parametrize("case", CASES)
def test_a_schedule_is_torchs_at_every_step(ours, case):
    _, make, steps = CASES[case]
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=BASE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no optimiser steps between; PyTorch's own deprecations
        scheduler = make(optimizer)
        rates, momenta = [], []
        for i in range(steps):
            if i > 0:
                scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
            momenta.append(optimizer.param_groups[0]["betas"][0])
    assert_same(ours[f"{case}.lr"], rates)
    assert (f"{case}.momentum" in ours) == case.startswith("one_cycle")
    if f"{case}.momentum" in ours:
        assert_same(ours[f"{case}.momentum"], momenta)


def assert_same(ours, theirs):
    # Half a unit of f32 in the last place, and of the base rate where PyTorch's recurrence should
    # come to zero and is left with its own rounding.
    torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.float64), rtol=2.0 ** -24,
                               atol=1e-15)
