"""Where and with what a figure was measured."""
import datetime
import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def machine(threads):
    info = pathlib.Path("/proc/cpuinfo").read_text()
    field = lambda name: next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith(name)), "unknown")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16") if f" {flag}" in field("flags") + " "]
    return {"cpu": field("model name"), "family": field("cpu family"), "model": field("model\t"), "isa": " ".join(flags), "threads": threads,
            "python": platform.python_version(), "commit": commit, "date": datetime.date.today().isoformat()}
