"""Contestants, each a process of its own, that take turns on one machine."""
import os
import pathlib
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

from paired import ratio_lower_bound

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
PROGRAMS = ROOT / "build/release/bench"
WORKER = PROGRAMS / "step/bench_worker"

# glibc's allocator told to keep freed memory. fatwood does so by itself.
TUNED = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 31), "MALLOC_TOP_PAD_": str(64 << 20)}

CONTESTANTS = {
    "fused": "fatwood, fused kernels",
    "fused-direct": "fatwood, fused kernels, no Winograd",
    "fused-bf16": "fatwood, fused kernels, bf16",
    "torch": "fatwood over LibTorch's operators",
    "bare": "LibTorch from C++, channels-last",
    "eager": "PyTorch eager",
    "eager-nhwc": "PyTorch eager, channels-last",
    "compile": "torch.compile",
    "compile-nhwc": "torch.compile, channels-last",
    "jax": "JAX, jitted step",
    "compile-bf16": "torch.compile, bf16 autocast",
    "eager-nhwc-bf16": "PyTorch eager, channels-last, bf16 autocast",
    "compile-nhwc-bf16": "torch.compile, channels-last, bf16 autocast",
    "peak": "multiply–adds alone",  # a yardstick: its figures are GFLOP/s
}


@dataclass(frozen=True)
class Setting:
    """What every contestant of one contest trains."""
    network: str = "residual"
    batch: int = 512
    channels: int = 1
    size: int = 28
    features: tuple = (8, 16, 32, 64, 128)
    threads: int = 2

    def arguments(self):
        return [self.network, str(self.batch), str(self.channels), str(self.size), ",".join(map(str, self.features))]


@dataclass
class Contestant:
    name: str
    tuned: bool = False
    command: list = field(default_factory=list)
    process: subprocess.Popen = None
    version: str = ""
    warm_up_s: float = 0  # with the libraries' loading, where it did not overlap another's warm-up
    times: list = field(default_factory=list)  # one list of milliseconds a round

    @property
    def title(self):
        return CONTESTANTS[self.name] + (", allocator tuned" if self.tuned else "")

    def start(self, setting):
        kind = self.name.split("-")[0]
        program = {"fused": [WORKER], "torch": [WORKER], "bare": [WORKER], "jax": [sys.executable, HERE / "peer_jax.py"]}
        program = program.get(kind, [sys.executable, HERE / "peer_torch.py"])
        self.command = [str(PROGRAMS / "kernels/bench_peak")] if kind == "peak" else [*map(str, program), self.name, *setting.arguments()]
        environment = os.environ | {"OMP_NUM_THREADS": str(setting.threads)} | (TUNED if self.tuned else {})
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True, env=environment)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.title}: ended with exit code {self.process.wait()}: {' '.join(self.command)}")
        return line.split()

    def wait_ready(self):
        self.version = self.answer()[1]

    def run(self, command, count=None):
        self.process.stdin.write(command + (f" {count}" if count else "") + "\n")
        self.process.stdin.flush()
        return list(map(float, self.answer()))

    def stop(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()


def contest(setting, contestants, rounds, command="steps", round_ms=250, peak=False, note=lambda text: None):
    """Rounds in which every contestant runs for about `round_ms` (two steps at least, one where it takes a second), one after another.
    Returns a row for each: median and minimum over all its steps, and, pair by pair, how many times longer
    its median of a round took than the first contestant's in the same round; under "to_bf16" the same of fatwood in bf16, where it
    takes part. With `peak`, the first row has the highest multiply–add rate seen between the turns, on as many threads."""
    yardstick = [Contestant("peak")] if peak else []
    try:
        counts = []
        for c in contestants + yardstick:
            c.start(setting)
        for c in contestants + yardstick:  # one after another: compiling takes both cores
            note(f"warming up {c.title}")
            begin = time.monotonic()
            c.wait_ready()
            c.run(command, 2)
            c.warm_up_s = time.monotonic() - begin
        for c in contestants:
            step_ms = min(c.run(command, 1))
            if step_ms < round_ms:
                step_ms = statistics.median(c.run(command, 3))
            counts.append(max(1 if step_ms > 1000 else 2, min(50, round(round_ms / step_ms))))
        for i in range(rounds):
            note(f"round {i + 1} of {rounds}")
            for c, count in zip(contestants, counts):
                time.sleep(0.02)  # the last one's threads go to sleep
                c.times.append(c.run(command, count))
                for y in yardstick:
                    time.sleep(0.02)
                    y.times.append(y.run(command, 10))
        rows = [row_of(c, contestants[0], setting) for c in contestants]
        for bf16 in (c for c in contestants if c.name == "fused-bf16"):
            for c, row in zip(contestants, rows):
                row["to_bf16"] = ratios(c, bf16)
        for y in yardstick:
            rows[0]["peak_gflops"] = round(max(sum(y.times, [])), 2)
        return rows
    finally:
        for c in contestants + yardstick:
            c.stop()


def ratios(contestant, first):
    pairs = [statistics.median(own) / statistics.median(firsts) for own, firsts in zip(contestant.times, first.times)]
    lower = ratio_lower_bound(pairs)
    return {"ratio": round(statistics.median(pairs), 3), "ratio_low": round(min(pairs), 3), "ratio_high": round(max(pairs), 3),
            "ratio_lower_95": lower and round(lower, 4)}


def row_of(contestant, first, setting):
    times = sum(contestant.times, [])
    return {"network": setting.network, "contestant": contestant.name, "title": contestant.title, "tuned": contestant.tuned,
            "version": contestant.version, "median_ms": round(statistics.median(times), 3), "min_ms": round(min(times), 3),
            "steps": len(times), **ratios(contestant, first), "warm_up_s": round(contestant.warm_up_s, 2),
            "setting": {"batch": setting.batch, "channels": setting.channels, "size": setting.size,
                        "features": list(setting.features), "threads": setting.threads}}
