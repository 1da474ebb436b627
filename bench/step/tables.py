"""Markdown tables of what the sections measured."""
import statistics

TITLES = {
    "step": "A training step beside its peers",
    "epochs": "A training pass of `fatwood train`",
    "kernels": "Kernels",
    "inside": "Inside a training step",
    "threads": "Threads",
    "memory": "Peak memory of a training step",
    "gather": "A batch from stored bytes",
    "evaluation": "Evaluation",
    "growth": "As sizes grow",
    "widths": "As widths grow",
}
TUNED = ", allocator tuned"  # ends the titles of peers whose allocator is told to keep freed memory
AT_LEAST = 0.97  # of the fastest peer's speed, by the lower bound, is what fatwood promises of widths from 8 to 256


def table(header, rows):
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [header, ["--"] * len(header), *rows])


def bound(value):
    return "" if value is None else f"{value:.3f}"


def contest_table(rows, unit="ms a step"):
    """One table a setting; the ratio says how many times longer than the first row a contestant takes, its bound the
    lower end of the 95 % interval of its geometric mean."""
    parts = []
    for network, channels in dict.fromkeys((row["network"], row["setting"]["channels"]) for row in rows):
        own = [row for row in rows if row["network"] == network and row["setting"]["channels"] == channels]
        s = own[0]["setting"]
        parts.append(f"{network}, batch {s['batch']}, {s['channels']} × {s['size']} × {s['size']}, {s['threads']} threads; {unit}\n\n" + table(
            ["", "median", "minimum", "× fatwood (pair by pair)", "lowest", "highest", "95 % lower bound"],
            [[f"{row['title']} ({row['version']})", f"{row['median_ms']:.2f}", f"{row['min_ms']:.2f}", f"{row['ratio']:.2f}",
              f"{row['ratio_low']:.2f}", f"{row['ratio_high']:.2f}", bound(row.get("ratio_lower_95"))] for row in own]))
    return "\n\n".join(parts)


def bf16_table(rows):
    """The peers of any precision beside fatwood in bf16, a network's fastest only."""
    lines = []
    for network in dict.fromkeys(row["network"] for row in rows):
        for tuned in (False, True):
            peers = [row for row in rows if row["network"] == network and row["tuned"] == tuned and "to_bf16" in row
                     and not row["contestant"].startswith(("fused", "torch"))]
            if peers:
                fastest = min(peers, key=lambda row: row["to_bf16"]["ratio"])
                to = fastest["to_bf16"]
                lines.append([network, fastest["title"], f"{fastest['median_ms']:.2f}", f"{to['ratio']:.2f}", f"{to['ratio_low']:.2f}",
                              f"{to['ratio_high']:.2f}", bound(to["ratio_lower_95"])])
    if not lines:
        return ""
    return "Fatwood in bf16 beside the fastest of the peers above, by default and with its allocator tuned\n\n" + table(
        ["network", "fastest peer", "median, ms", "× fatwood in bf16 (pair by pair)", "lowest", "highest", "95 % lower bound"], lines)


def step_table(rows):
    return "\n\n".join(part for part in (contest_table(rows), bf16_table(rows), limits_table(rows)) if part)


def limits_table(rows):
    limits = [row for row in rows if "limit_ms" in row]
    if not limits:
        return ""
    peak = max(row["peak_gflops"] for row in limits)
    return f"""Share of the f32 limit: the multiply–adds of a step on pixels inside the image (three times the forward pass less the first layer's \
input gradient), at the highest multiply–add rate measured between the turns, {peak:.1f} GFLOP/s on {limits[0]['setting']['threads']} \
threads. Winograd's way needs fewer, so it can pass 100 %

""" + table(["network", "GFLOP a step", "limit, ms", "median, ms", "share", "minimum, ms", "share"],
            [[row["network"], f"{row['gflop']:.2f}", f"{row['limit_ms']:.2f}", f"{row['median_ms']:.2f}",
              f"{100 * row['limit_ms'] / row['median_ms']:.0f} %", f"{row['min_ms']:.2f}",
              f"{100 * row['limit_ms'] / row['min_ms']:.0f} %"] for row in limits])


def epochs_table(rows):
    peers = list(rows[0]["bare_s"])[1:]
    return f"""The pass over 60,000 images, with data, rows, progress, default statistics and checkpoints, without evaluation; batch \
{rows[0]['batch']}, {rows[0]['threads']} threads. The ratio is to as many bare steps of fatwood on one batch, turn by turn. The peers' figures are \
their bare steps and gathers added up

""" + table(["network", "seconds, median", "bare steps, s", "ratio, median", "lowest", "highest", *(f"{peer}, s" for peer in peers)],
            [[row["network"], f"{statistics.median(row['train_s']):.2f}", *(f"{statistics.median(times):.2f}" for times in list(row["bare_s"].values())[:1]),
              f"{statistics.median(row['ratios']):.3f}", f"{min(row['ratios']):.3f}", f"{max(row['ratios']):.3f}",
              *(f"{statistics.median(row['bare_s'][peer]):.2f}" for peer in peers)] for row in rows])


def kernels_table(result):
    columns = [name for name in result["rows"][0]["percent_of_peak"]]
    return f"{result['isa']}, peak {result['peak_gflops']:.1f} GFLOP/s a thread; one thread, one group of images; % of the peak, \
by products on pixels inside the image (Winograd's way can pass 100)\n\n" + table(
        ["layer", *columns], [[row["layer"], *(f"{row['percent_of_peak'][c]:.0f}" if row["percent_of_peak"].get(c) else "" for c in columns)]
                              for row in result["rows"]])


def inside_table(results):
    parts = ["One thread, the kernels of " + results[0]["isa"] + ". Every call is timed in its place, and again at once behind itself, with its data at hand: "
             "the fastest of some repeats. Milliseconds a step; what takes less than a hundredth of it is added up"]
    for result in results:
        rows = sorted(result["rows"], key=lambda row: -row["ms"])
        large = [row for row in rows if row["ms"] >= result["step_ms"] / 100]
        small = [row for row in rows if row["ms"] < result["step_ms"] / 100]
        lines = [(f"{row['kernel']} {row['shape']}".strip(), row["calls"], row["ms"], row["repeated_ms"]) for row in large]
        for name, own in (("the others", small), ("all kernels", rows)):
            lines.append((name, sum(row["calls"] for row in own), sum(row["ms"] for row in own), sum(row["repeated_ms"] for row in own)))
        parts.append(f"{result['network']}, batch {result['batch']}: {result['step_ms']:.1f} ms a step\n\n" + table(
            ["kernel", "calls", "in place", "repeated", "ratio"],
            [[name, f"{calls:.0f}", f"{ms:.2f}", f"{again:.2f}", f"{ms / again:.2f}" if again else ""] for name, calls, ms, again in lines]))
    return "\n\n".join(parts)


def threads_table(rows):
    found = {(row["network"], row["contestant"], row["setting"]["threads"]): row["median_ms"] for row in rows}
    titles = {row["contestant"]: row["title"] for row in rows}
    counts = sorted({key[2] for key in found})
    lines = []
    for network in dict.fromkeys(key[0] for key in found):
        for contestant, title in titles.items():
            times = [found[network, contestant, count] for count in counts]
            lines.append([network, title, *(f"{t:.2f}" for t in times), f"{times[0] / times[-1]:.2f}"])
    return table(["network", "", *(f"{count} threads, ms" for count in counts), "gain"], lines)


def memory_table(rows):
    ours = {row["network"]: row["peak_bytes"] for row in rows if row["contestant"] == "fused"}
    evaluated = " and an evaluation of the same batch" if rows[0].get("evaluated") else ""
    return f"Above what the process held before the network was built (libraries and the batch), five steps{evaluated}\n\n" + table(
        ["network", "", "MiB", "fatwood's part of it"],
        [[row["network"], row["title"], f"{row['peak_bytes'] / 2**20:.0f}", f"{ours[row['network']] / row['peak_bytes']:.2f}"] for row in rows])


def growth_table(rows):
    lines = []
    for ours, *peers in contests(rows):
        s = ours["setting"]
        fastest = min(peers, key=lambda row: row["ratio"])
        lines.append([ours["varied"], s["batch"], f"{s['channels']} × {s['size']} × {s['size']}", " ".join(map(str, s["features"])),
                      f"{ours['median_ms']:.2f}", *(f"{row['median_ms']:.2f}" for row in peers), fastest["title"].removesuffix(TUNED),
                      f"{fastest['ratio']:.2f}", bound(fastest.get("ratio_lower_95"))])
    return "The residual network; ms a step, the peers with their allocator tuned\n\n" + table(
        ["what grows", "batch", "image", "features", "fatwood", *(row["title"].removesuffix(TUNED) for row in peers), "fastest peer", "× fatwood",
         "95 % lower bound"], lines)


def contests(rows):
    """The rows of each contest, which fatwood's opens."""
    found = []
    for row in rows:
        if row["contestant"] == "fused":
            found.append([])
        found[-1].append(row)
    return found


def gather_table(rows):
    batch = rows[0]["setting"]["batch"]
    named = [row | {"network": "random images of 60,000"} for row in rows]
    return f"{batch} images picked by index, scaled and normalised in one pass; PyTorch indexes one tensor and works in place, without a " \
           f"DataLoader\n\n{contest_table(named, 'ms a batch')}"


def evaluation_table(rows):
    return contest_table(rows, "ms a forward pass")


def widths_table(rows):
    settings = {}
    for row in rows:
        settings.setdefault((row["network"], row["width"]), []).append(row)
    lines, warm_ups = [], []
    for (network, width), (ours, *peers) in settings.items():
        fastest = min(peers, key=lambda row: row["ratio"])
        bounds = [row["ratio_lower_95"] for row in peers if row["ratio_lower_95"] is not None]
        held = "" if not bounds else "yes" if min(bounds) >= AT_LEAST else "no"
        lines.append([network, width, ours["setting"]["batch"], f"{ours['median_ms']:.2f}", *(f"{row['median_ms']:.2f}" for row in peers),
                      fastest["title"].removesuffix(TUNED), f"{fastest['ratio']:.2f}",
                      bound(min(bounds, default=None)), held])
        warm_ups += [row["warm_up_s"] for row in peers if row["contestant"].startswith("compile")]
    titles = [row["title"].removesuffix(TUNED) for row in peers]
    return f"""All blocks of one width, image 1 × 28 × 28, {ours['setting']['threads']} threads; ms a step, the peers with their allocator tuned. \
The bound is the lowest over the peers of the 95 % lower bounds of their times over fatwood's, pair by pair; held is ≥ {AT_LEAST}. \
torch.compile's warm-up took {min(warm_ups):.0f} to {max(warm_ups):.0f} s a setting and is not counted

""" + table(["network", "width", "batch", "fatwood", *titles, "fastest peer", "× fatwood", "95 % lower bound", f"≥ {AT_LEAST}"], lines)


TABLES = {"step": step_table, "epochs": epochs_table, "kernels": kernels_table, "inside": inside_table, "threads": threads_table, "memory": memory_table,
          "gather": gather_table, "evaluation": evaluation_table, "growth": growth_table, "widths": widths_table}


ALTERNATIVES = {
    "summary": "Bars: a training step of each network, fatwood beside the best of each family of peers",
    "times": "Bars: a training step of each network and contestant, in milliseconds",
    "kernels": "Dots: every kernel as a percentage of the multiply–add peak, layer by layer",
    "growth": "Curves: milliseconds a step as image, batch and number of blocks grow",
    "widths": "Curves: milliseconds an image as the width of all blocks grows",
}


def page(result, drawn):
    """`drawn`: section → names of its pictures, beside the page."""
    parts = ["# Benchmarks\n\nMeasured by `./fatwood bench`; figures are in the JSON file beside this page, what they mean in "
             "[docs/benchmarks.md](../../docs/benchmarks.md)."]
    for name, title in TITLES.items():
        if name in result:
            m = result[name + "_machine"]
            pictures = "".join(f"![{ALTERNATIVES[file.removesuffix('.svg').rpartition('-')[2]]}]({file})\n\n" for file in drawn.get(name, ()))
            parts.append(f"## {title}\n\n{pictures}{TABLES[name](result[name])}\n\n{m['cpu']} (family {m['family']}, model {m['model']}, {m['isa']}), "
                         f"{m['threads']} threads; Python {m['python']}; commit {m['commit']}, {m['date']}.")
    return "\n\n".join(parts) + "\n"
