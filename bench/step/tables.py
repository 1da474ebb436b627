"""Markdown tables of what the sections measured."""

TITLES = {
    "step": "A training step beside its peers",
    "kernels": "Kernels",
    "threads": "Threads",
    "memory": "Peak memory of a training step",
    "evaluation": "Evaluation",
    "growth": "As sizes grow",
}


def table(header, rows):
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [header, ["--"] * len(header), *rows])


def contest_table(rows):
    """One table a network; the ratio says how many times longer than the first row a contestant takes."""
    parts = []
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network]
        s = own[0]["setting"]
        parts.append(f"{network}, batch {s['batch']}, {s['channels']} × {s['size']} × {s['size']}, {s['threads']} threads; ms a step\n\n" + table(
            ["", "median", "minimum", "× fatwood (pair by pair)", "lowest", "highest"],
            [[f"{row['title']} ({row['version']})", f"{row['median_ms']:.2f}", f"{row['min_ms']:.2f}", f"{row['ratio']:.2f}",
              f"{row['ratio_low']:.2f}", f"{row['ratio_high']:.2f}"] for row in own]))
    return "\n\n".join(parts)


def kernels_table(result):
    columns = [name for name in result["rows"][0]["percent_of_peak"]]
    return f"{result['isa']}, peak {result['peak_gflops']:.1f} GFLOP/s a thread; one thread, one group of images; % of the peak, \
by products on pixels inside the image (Winograd's way can pass 100)\n\n" + table(
        ["layer", *columns], [[row["layer"], *(f"{row['percent_of_peak'][c]:.0f}" if row["percent_of_peak"].get(c) else "" for c in columns)]
                              for row in result["rows"]])


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
    return "Above what the process held before the network was built (libraries and the batch), five steps\n\n" + table(
        ["network", "", "MiB", "fatwood's part of it"],
        [[row["network"], row["title"], f"{row['peak_bytes'] / 2**20:.0f}", f"{ours[row['network']] / row['peak_bytes']:.2f}"] for row in rows])


def growth_table(rows):
    lines = []
    for ours, theirs in zip(rows[::2], rows[1::2]):
        s = ours["setting"]
        lines.append([ours["varied"], s["batch"], f"{s['channels']} × {s['size']} × {s['size']}", " ".join(map(str, s["features"])),
                      f"{ours['median_ms']:.2f}", f"{theirs['median_ms']:.2f}", f"{theirs['ratio']:.2f}"])
    return f"The residual network; ms a step of fatwood and of {rows[1]['title']}\n\n" + table(
        ["what grows", "batch", "image", "features", "fatwood", "peer", "ratio"], lines)


TABLES = {"step": contest_table, "kernels": kernels_table, "threads": threads_table, "memory": memory_table,
          "evaluation": contest_table, "growth": growth_table}


def page(result):
    parts = ["# Benchmarks\n\nMeasured by `./fatwood bench`; figures are in the JSON file beside this page."]
    for name, title in TITLES.items():
        if name in result:
            m = result[name + "_machine"]
            parts.append(f"## {title}\n\n{TABLES[name](result[name])}\n\n{m['cpu']} (family {m['family']}, model {m['model']}, {m['isa']}), "
                         f"{m['threads']} threads; Python {m['python']}; commit {m['commit']}, {m['date']}.")
    return "\n\n".join(parts) + "\n"
