"""What a peer's process does: the protocol of worker.cpp, in Python."""
import pathlib
import sys
import time


def status_bytes(name):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def start_of_peak():
    """The peak counts from here; returns the memory held now."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    return status_bytes("VmRSS")


def serve(version, step, evaluate, before, gather=None):
    print("ready", version, flush=True)
    for line in sys.stdin:
        command, *count = line.split()
        if command == "peak":
            print(status_bytes("VmHWM") - before, flush=True)
            continue
        work, times = {"steps": step, "evaluate": evaluate, "gather": gather}[command], []
        for _ in range(int(count[0])):
            begin = time.perf_counter()
            work()
            times.append(f"{1e3 * (time.perf_counter() - begin):.4f}")
        print(*times, flush=True)
