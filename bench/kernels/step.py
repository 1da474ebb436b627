"""A whole training step (forward, loss, backward, AdamW) of the page's networks: fatwood's stretch
beside PyTorch, alternating in one process. Checks gradients from one equal state first.

usage: step.py LIBRARY [--kinds conv,residual,double] [--compile] [--no-peers] [--rounds 12] [--batch 512]
"""
import argparse
import copy
import ctypes
import pathlib
import statistics
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "step"))
from networks import network  # noqa: E402

NFS = [8, 16, 32, 64, 128]
KINDS = {"conv": 0, "residual": 1, "double": 2}  # of step_library.cpp


class Ours:
    def __init__(self, lib, kind, batch, threads, model, bf16=False):
        self.lib, self.net = lib, ctypes.c_void_p(lib.network_new(kind, batch, threads, bf16))
        self.size = lib.network_size(self.net)
        view = lambda p: np.ctypeslib.as_array(ctypes.cast(p, ctypes.POINTER(ctypes.c_float)), (self.size,))
        self.params, self.grads = view(lib.network_params(self.net)), view(lib.network_grads(self.net))
        self.params[:] = torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()
        self.seconds = (ctypes.c_double * 4)()

    def step(self, x, y, lr):
        return self.lib.network_step(self.net, ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(y.data_ptr()),
                                     ctypes.c_double(lr), self.seconds)


def worst_gradient_error(grads, exact):
    # Some gradients are zero but for rounding (a shift before a norm): they count against the largest.
    floor = 1e-3 * max(e.abs().max().item() for e in exact)
    return max((g.double() - e).abs().max().item() / max(e.abs().max().item(), floor)
               for g, e in zip(grads, exact))


def check(contestants, model, x, y):
    exact = copy.deepcopy(model).double()
    F.cross_entropy(exact(x.double()), y).backward()
    wanted = [p.grad for p in exact.parameters()]
    errors = {}
    for name, layout, bf16 in (("nchw", torch.contiguous_format, False), ("nhwc", torch.channels_last, False),
                               ("nhwc bf16", torch.channels_last, True)):
        m = copy.deepcopy(model).to(memory_format=layout)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(m(x), y)
        loss.backward()
        errors[name] = worst_gradient_error([p.grad for p in m.parameters()], wanted)
    for name, ours in contestants.items():
        ours.step(x, y, 0)
        grads, at = [], 0
        flat = torch.from_numpy(ours.grads)
        for p in model.parameters():
            grads.append(flat[at:at + p.numel()].view_as(p))
            at += p.numel()
        errors[name] = worst_gradient_error(grads, wanted)
    print("  worst gradient error against f64: " + ", ".join(f"{k} {v:.1e}" for k, v in errors.items()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("--kinds", default="conv,residual,double")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lib = ctypes.CDLL(args.library)
    lib.network_new.restype = ctypes.c_void_p
    for name in ("network_params", "network_grads", "network_running"):
        getattr(lib, name).restype = ctypes.c_void_p
    for name in ("network_size", "network_bytes"):
        getattr(lib, name).restype = ctypes.c_int64
    lib.network_step.restype = ctypes.c_double
    print(f"torch {torch.__version__}, {args.threads} threads, batch {args.batch}")

    for name in args.kinds.split(","):
        torch.manual_seed(0)
        model = network(name, 1, NFS)
        x, y = torch.randn(args.batch, 1, 28, 28), torch.randint(0, 10, (args.batch,))
        ours = {f"fatwood{text}": Ours(lib, KINDS[name], args.batch, args.threads, model, bf16)
                for text, bf16 in (("", False), (" bf16", True))}
        mebibytes = " and ".join(f"{lib.network_bytes(o.net) / 2**20:.0f}" for o in ours.values())
        print(f"{name}: {ours['fatwood'].size} parameters, {mebibytes} MiB")
        check(ours, model, x, y)

        def eager(layout, compiled=False):
            m = copy.deepcopy(model).to(memory_format=layout)
            o = torch.optim.AdamW(m.parameters(), lr=1e-3, fused=True)
            loss = lambda x, y: F.cross_entropy(m(x), y)
            loss = torch.compile(loss) if compiled else loss

            def step():
                o.zero_grad(set_to_none=True)
                loss(x, y).backward()
                o.step()
            return step

        phases = {name: [] for name in ours}

        def fused(contestant):
            def step():
                ours[contestant].step(x, y, 1e-3)
                phases[contestant].append(list(ours[contestant].seconds))
            return step

        steps = {name: fused(name) for name in ours}
        if args.peers:
            steps["eager nhwc"] = eager(torch.channels_last)
        if args.compile:
            steps["compile nhwc"] = eager(torch.channels_last, True)
        for step in steps.values():
            step(), step()
        times = {k: [] for k in steps}
        for _ in range(args.rounds):
            for k, step in steps.items():
                step()
                for _ in range(8 if k in ours else 3):
                    begin = time.perf_counter()
                    step()
                    times[k].append(1e3 * (time.perf_counter() - begin))
        for k, v in times.items():
            print(f"  {k:14s} min {min(v):7.2f}  median {statistics.median(v):7.2f} ms"
                  f"   / fatwood {min(v) / min(times['fatwood']):.2f} {statistics.median(v) / statistics.median(times['fatwood']):.2f}")
        for k, seconds in phases.items():
            p = 1e3 * np.array(seconds)
            print(f"  phases of {k} (forward, loss, backward, optimiser): min", p.min(0).round(2),
                  "median", np.median(p, 0).round(2))


if __name__ == "__main__":
    main()
