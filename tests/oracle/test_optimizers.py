"""A step of the loop from equal weights and equal optimiser state, against torch.optim in f64 on
the same gradients."""

import copy

import pytest
import torch

from reference import NARROW, narrow_residual_cnn, prefixed, trained_looking

EPS = 2.0 ** -23


def adamw_state(parameter):
    return {"exp_avg": torch.randn_like(parameter) * 0.01,
            "exp_avg_sq": torch.rand_like(parameter) * 1e-3, "step": torch.tensor(7.0)}


def momentum_state(parameter):
    return {"momentum_buffer": torch.randn_like(parameter) * 0.01}


def no_state(parameter):
    return {}


CASES = {
    "adamw": ({"kind": "adamw", "lr": 0.01}, adamw_state),
    "adamw_first_step": ({"kind": "adamw", "lr": 0.003}, no_state),
    "adamw_beta1_and_decay": ({"kind": "adamw", "lr": 0.01, "beta1": 0.85, "weight_decay": 0.2},
                              adamw_state),
    "adamw_no_decay_on_norms": ({"kind": "adamw", "lr": 0.01, "weight_decay": 0.2,
                                 "decay_all": False}, adamw_state),
    "sgd": ({"kind": "sgd", "lr": 0.1}, no_state),
    "sgd_first_momentum": ({"kind": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
                           no_state),
    "sgd_momentum": ({"kind": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
                     momentum_state),
    "sgd_nesterov": ({"kind": "sgd", "lr": 0.1, "momentum": 0.8, "nesterov": True},
                     momentum_state),
}


@pytest.mark.parametrize("case", CASES)
def test_a_step_is_torchs(driver, case):
    options, make_state = CASES[case]
    model = trained_looking(narrow_residual_cnn, seed=2)
    parameters = dict(model.named_parameters())
    state = {name: make_state(p.detach()) for name, p in parameters.items()}
    # What never had a gradient never had a state.
    idle = {name for name in parameters if "id_conv" in name and name[7] in "13"}
    assert len(idle) == 4
    state = {name: {} if name in idle else slots for name, slots in state.items()}

    ours = driver("fit", {
        "x": torch.randn(8, 1, 28, 28), "y": torch.randint(10, (8,)),
        **prefixed("model.", model.state_dict()),
        **{f"optimizer.{name}.{slot}": value for name, slots in state.items()
           for slot, value in slots.items()}},
        model="residual_cnn", nfs=NARROW, batch_size=8, optimizer=options)

    exact = copy.deepcopy(model).double()
    exact_parameters = dict(exact.named_parameters())
    optimizer = torch_optimizer(exact, options)
    for name, parameter in exact_parameters.items():
        if name not in idle:
            parameter.grad = ours[f"grad.{name}"].double()
        if state[name]:
            optimizer.state[parameter] = {slot: value.double().clone()
                                          for slot, value in state[name].items()}
    optimizer.step()

    seen = set()
    for name, parameter in exact_parameters.items():
        key = f"model.{name}"
        if name in idle:
            assert torch.equal(ours[key], parameters[name]), name
            continue
        before = parameters[name].detach()
        decayed = sgd_operands(options, ours[f"grad.{name}"], before)
        assert_rounded(ours[key], parameter.detach(), before, options["lr"] * decayed, key)
        for slot, value in optimizer.state[parameter].items():
            if value is None:  # sgd without momentum
                continue
            key = f"optimizer.{name}.{slot}"
            seen.add(key)
            before = state[name].get(slot, torch.zeros_like(ours[key]))
            assert_rounded(ours[key], torch.as_tensor(value), before, decayed, key)
    assert {key for key in ours if key.startswith("optimizer.")} == seen


def torch_optimizer(model, options):
    groups = [{"params": list(model.parameters())}]
    if not options.get("decay_all", True):
        groups = [{"params": [p for p in model.parameters() if p.dim() > 1]},
                  {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0}]
    if options["kind"] == "sgd":
        return torch.optim.SGD(groups, lr=options["lr"], momentum=options.get("momentum", 0),
                               nesterov=options.get("nesterov", False),
                               weight_decay=options.get("weight_decay", 0))
    return torch.optim.AdamW(groups, lr=options["lr"], betas=(options.get("beta1", 0.9), 0.999),
                             weight_decay=options.get("weight_decay", 0.01))


def sgd_operands(options, gradient, parameter):
    """SGD adds decay to the gradient; the sum may be far smaller than what was rounded."""
    decay = options.get("weight_decay", 0) if options["kind"] == "sgd" else 0
    return decay * parameter.double().abs() + (gradient.double().abs() if decay else 0)


def assert_rounded(ours, exact, before, operands, name):
    """Within the rounding of f32: a few units in the last place of the value, of its change and of
    the operands of that change."""
    exact = exact.double()
    bound = 4 * EPS * (exact.abs() + (exact - before.double()).abs() + operands)
    excess = (ours.double() - exact).abs() - bound
    assert (excess <= 0).all(), f"{name}: {excess.max().item():.3g} beyond rounding"
