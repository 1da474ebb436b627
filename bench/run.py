#!/usr/bin/env python3
"""What `./fatwood bench` runs: a training step of the page's networks beside the same step of PyTorch,
torch.compile, LibTorch and JAX, and what a step costs as width, image, batch, depth and threads grow.

    ./fatwood bench [--quick] [--sections step,kernels,...] [-o bench/results/step]
    ./fatwood bench --redraw                                   the page and the pictures anew, nothing measured

Every contestant is a process of its own; they take turns, and ratios are taken within a turn. Writes OUT.json
(every figure, the machine, the versions), OUT.md and OUT-*.svg, section by section, so that an interrupted run
keeps what it has. --quick: fewer peers and rounds, under three minutes.
"""
import argparse
import json
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench/step"))

import sections  # noqa: E402
import tables  # noqa: E402
from machine import machine  # noqa: E402
from pictures import pictures  # noqa: E402


def note(text):
    if sys.stderr.isatty():
        print(f"\r\033[K  {text}", end="", file=sys.stderr, flush=True)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def write_page(out, result):
    """OUT.md with its pictures."""
    drawn = {section: {f"{out.name}-{name}.svg": svg for name, svg in own.items()} for section, own in pictures(result).items()}
    for own in drawn.values():
        for name, svg in own.items():
            write(out.with_name(name), svg)
    write(out.with_suffix(".md"), tables.page(result, drawn))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer peers, networks and rounds; writes nothing unless -o is given")
    parser.add_argument("--sections", help="of " + ", ".join(sections.SECTIONS))
    parser.add_argument("--networks", help="of conv, residual, double, resnet18")
    parser.add_argument("--no-bf16", action="store_true", help="without contestants in bf16, which take most of the time where it is emulated")
    parser.add_argument("--rounds", type=int, help="turns of every contestant")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--redraw", action="store_true", help="write the page and its pictures anew from the JSON file, measure nothing")
    parser.add_argument("-o", "--out", type=pathlib.Path)
    options = parser.parse_args()
    wanted = (options.sections or ("step,kernels" if options.quick else ",".join(sections.SECTIONS))).split(",")
    for name in wanted:
        if name not in sections.SECTIONS:
            parser.error(f"--sections: found {name}, wanted some of {', '.join(sections.SECTIONS)}")
    for name in options.networks.split(",") if options.networks and not options.redraw else ():
        if name not in (*sections.NETWORKS, "resnet18"):
            parser.error(f"--networks: found {name}, wanted some of {', '.join(sections.NETWORKS)}, resnet18")
        if name == "resnet18" and (found := {"inside", "widths"} & set(wanted)):
            parser.error(f"--networks: found resnet18, which the sections {', '.join(sorted(found))} do not have")
    out = options.out or (None if options.quick else ROOT / "bench/results/step")
    result = {}
    if out and out.with_suffix(".json").exists():  # sections that are not asked for stay
        result = json.loads(out.with_suffix(".json").read_text())
    if options.redraw:
        return write_page(out, result)
    for name in wanted:
        begin = time.monotonic()
        result[name] = sections.SECTIONS[name](options, note)
        note("")
        result[name + "_machine"] = machine(options.threads) | {"seconds": round(time.monotonic() - begin)}
        print(f"\n## {tables.TITLES[name]}\n\n{tables.TABLES[name](result[name])}", flush=True)
        if out:
            write(out.with_suffix(".json"), json.dumps(result, indent=1) + "\n")
            write_page(out, result)


if __name__ == "__main__":
    main()
