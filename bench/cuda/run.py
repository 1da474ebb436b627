#!/usr/bin/env python3
"""A training step on a GPU beside PyTorch's: python3 bench/cuda/run.py BUILD [--networks conv,residual] [-o OUT]

BUILD is a build folder in which bench_cuda was built with CUDA; the Python that runs this has torch with CUDA, and timm for
resnet18. Every contestant is a process of its own, once forwards and once backwards through the list, so that a drift of the
card shows. Writes OUT.json and OUT.md.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "step"))
from machine import machine  # noqa: E402

TITLES = {
    "graphs": "fatwood, graphs",
    "graphs-bf16": "fatwood, graphs, bf16",
    "graphs-unmeasured": "fatwood, graphs, cuDNN's algorithms not measured",
    "operators": "fatwood over LibTorch's operators",
    "eager": "PyTorch eager",
    "eager-nhwc": "PyTorch eager, channels-last",
    "compile": "torch.compile, max-autotune",
    "compile-nhwc": "torch.compile, max-autotune, channels-last",
    "graph-nhwc": "PyTorch, the whole step in one graph, channels-last",
    "eager-nhwc-bf16": "PyTorch eager, channels-last, bf16 autocast",
    "compile-nhwc-bf16": "torch.compile, max-autotune, channels-last, bf16 autocast",
    "graph-nhwc-bf16": "PyTorch, the whole step in one graph, channels-last, bf16 autocast",
}


def run_contestant(options, contestant, network):
    own = contestant.startswith(("graphs", "operators"))
    command = [str(options.build / "bench/cuda/bench_cuda")] if own else [sys.executable, str(HERE / "peer_torch.py")]
    command += [contestant, network, str(options.rounds), str(options.steps)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return {"version": "", "times": [], "error": done.stderr.strip().splitlines()[-1:]}
    version, *times = done.stdout.split()
    return {"version": version, "times": list(map(float, times))}


def card():
    fields = "name,driver_version,memory.total,clocks.sm,clocks.mem"
    done = subprocess.run(["nvidia-smi", "--query-gpu=" + fields, "--format=csv,noheader"], capture_output=True, text=True)
    return done.stdout.strip()


def page(result):
    lines = ["# A training step on a GPU", "",
             f"{result['card']}; {result['machine']['cpu']}; commit {result['machine']['commit']}, {result['machine']['date']}. "
             "512 images of 28 × 28 from a data set on the device, gathering, schedule and AdamW included; `f32` convolutions are "
             "TF32, LibTorch's default. Medians over rounds; the ratio is to fatwood's of the same precision.", "",
             f"    {result['command']}"]
    for network, rows in result["networks"].items():
        lines += ["", f"## {network}", "", "| contestant | version | ms a step | min | max | ratio |", "|---|---|---:|---:|---:|---:|"]
        medians = {name: statistics.median(row["times"]) for name, row in rows.items() if row["times"]}
        for name, row in rows.items():
            if not row["times"]:
                lines.append(f"| {TITLES[name]} | | failed: {' '.join(row['error'])} | | | |")
                continue
            own = medians.get("graphs-bf16" if name.endswith("bf16") else "graphs")
            ratio = f"{medians[name] / own:.2f}" if own else ""
            lines.append(f"| {TITLES[name]} | {row['version']} | {medians[name]:.4f} | {min(row['times']):.4f} | "
                         f"{max(row['times']):.4f} | {ratio} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--networks", default="conv,residual,double,resnet18")
    parser.add_argument("--contestants", default=",".join(TITLES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("-o", "--out", type=pathlib.Path)
    options = parser.parse_args()
    contestants = options.contestants.split(",")
    result = {"card": card(), "machine": machine(1), "command": "python3 bench/cuda/run.py " + " ".join(sys.argv[1:]), "networks": {}}
    for network in options.networks.split(","):
        rows = result["networks"][network] = {}
        for turn in (contestants, contestants[::-1]):
            for contestant in turn:
                if contestant.startswith("compile") and turn is not contestants:
                    continue  # compiling takes a minute
                found = run_contestant(options, contestant, network)
                row = rows.setdefault(contestant, found)
                if row is not found:
                    row["times"] += found["times"]
        if options.out:
            options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
            options.out.with_suffix(".md").write_text(page(result))
    print(page(result))


if __name__ == "__main__":
    main()
