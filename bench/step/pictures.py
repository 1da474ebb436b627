"""Pictures of what the sections measured, beside the tables: NAME → SVG."""
from svg import PANEL_RADIUS, Panel, Svg, linear_ticks, short

OWN = ("fused", "fused-direct", "fused-bf16")
FAMILIES = {"fatwood": ("fused",), "torch.compile": ("compile", "compile-nhwc"), "PyTorch eager": ("eager", "eager-nhwc"),
            "LibTorch from C++": ("bare",)}
CUT = 1.5  # a bar that is so many times longer than the next ones is cut off


def machine_words(machine):
    return f"{machine['cpu']} ({machine['isa'].split()[-1]}), {machine['threads']} threads; {machine['date']}"


def by_network(rows):
    found = {}
    for row in rows:
        found.setdefault(row["network"], []).append(row)
    return found


def summary(rows, machine):
    """The step of each network beside the best of each family of peers."""
    groups = {}
    for network, own in by_network(rows).items():
        best = {title: min((row for row in own if row["contestant"] in names), key=lambda row: row["median_ms"], default=None)
                for title, names in FAMILIES.items()}
        if best["fatwood"]:
            groups[network] = {title: row for title, row in best.items() if row}
    row_height, gap, left, right, top = 17, 14, 96, 20, 86
    height = top + sum(row_height * len(best) + gap for best in groups.values()) + 44
    most = 1.22 * max(row["ratio"] for best in groups.values() for row in best.values())  # with room for the figures
    words = "; ".join(f"{network} {short(best['fatwood']['median_ms'])} ms, "
                      + ", ".join(f"{title} {row['ratio']:.2f} ×" for title, row in list(best.items())[1:]) for network, best in groups.items())
    svg = Svg(720, height, "A training step in f32 as a multiple of fatwood's",
              f"Bars by network; fatwood's step and how many times longer the peers take. {words}.")
    svg.text(16, 46, "peers with the best of their layouts, the allocator tuned where that is faster", "soft")
    svg.legend(16, 70, [(f"f{i}", title) for i, title in enumerate(FAMILIES)])
    scale = (svg.width - left - right) / most
    bars(svg, left, top - 2, svg.width - left - right, height - top - 44, most, " ×")
    y = top + 5
    for network, best in groups.items():
        svg.text(left - 10, y + row_height * len(best) / 2 + 1, network, "head", "end")
        svg.text(left - 10, y + row_height * len(best) / 2 + 15, f"batch {best['fatwood']['setting']['batch']}", "soft", "end")
        for title, row in best.items():
            svg.rect(left, y + 2, scale * row["ratio"], row_height - 4, f"f{list(FAMILIES).index(title)}", rx=2)
            label = f"{short(row['median_ms'])} ms" + ("" if title == "fatwood" else f" · {row['ratio']:.2f} ×")
            svg.text(left + scale * row["ratio"] + 6, y + row_height - 4, label, "number own" if title == "fatwood" else "number")
            y += row_height
        y += gap
    svg.text(svg.width - 20, height - 10, machine_words(machine), "soft", "end")
    return svg


def bars(svg, x, y, width, height, top, unit):
    """The panel behind bars that start at 0, with its grid and ticks below."""
    svg.rect(x, y, width, height, "panel", rx=PANEL_RADIUS)
    for tick in linear_ticks(top):
        at = x + width * tick / top
        svg.line(at, y, at, y + height, "grid")
        svg.text(at, y + height + 15, f"{tick:g}{unit}", "tick", "middle")


def times(rows, machine):
    """Every contestant: a bar to the median, a tick at the minimum; peers with the allocator's default above, tuned below."""
    groups = by_network(rows)
    left, right, size, pair_size, bf16_gap = 292, 60, 18, 26, 6
    lines = {network: pairs_of(own) for network, own in groups.items()}
    heights = {network: sum(pair_size if len(pair) > 1 else size for pair in own) + 6
               + (bf16_gap if "bf16" in own[-1][0]["contestant"] else 0) for network, own in lines.items()}
    height = 66 + sum(56 + high for high in heights.values()) + 12
    svg = Svg(760, height, "A training step: median, and minimum as a tick, in milliseconds",
              "; ".join(f"{network}: " + ", ".join(f"{row['title']} {short(row['median_ms'])} ms" for row in own) for network, own in groups.items()))
    svg.legend(16, 50, [("f0", "fatwood"), ("f1", "peer, f32"), (tuned_mark, "its allocator tuned"), ("f2", "peer, bf16")])
    y = 66
    for network, own in lines.items():
        medians = sorted(row["median_ms"] for row in groups[network])
        top = 1.04 * (medians[-2] if medians[-1] > CUT * medians[-2] else medians[-1])
        width = svg.width - left - right
        s = groups[network][0]["setting"]
        svg.text(left, y + 14, network, "head", aside=f"batch {s['batch']}, {s['channels']} × {s['size']} × {s['size']}, {s['threads']} threads")
        y += 20
        bars(svg, left, y, width, heights[network], top, "")
        at, bf16 = y + 3, False
        for pair in own:
            if not bf16 and "bf16" in pair[0]["contestant"]:
                bf16, at = True, at + bf16_gap
            high = pair_size if len(pair) > 1 else size
            svg.text(left - 8, at + high / 2 + 4, pair[0]["title"].removesuffix(", allocator tuned"), "own" if pair[0]["contestant"] in OWN else "", "end")
            for i, row in enumerate(pair):
                half = (high - 6) / len(pair)
                bar(svg, left, at + 3 + i * half, width, half - (1 if len(pair) > 1 else 0), top, row)
            at += high
        y += heights[network] + 36
    svg.text(svg.width - 16, height - 10, machine_words(machine), "soft", "end")
    return svg


def pairs_of(rows):
    """Rows of one contestant together, its default allocator first; in the order of speed, bf16 after f32."""
    found = {}
    for row in rows:
        found.setdefault(row["contestant"], []).append(row)
    return sorted(found.values(), key=lambda pair: ("bf16" in pair[0]["contestant"], min(row["median_ms"] for row in pair)))


def kind_of(row):
    return "f0" if row["contestant"] in OWN or row["contestant"] == "torch" else "f2" if "bf16" in row["contestant"] else "f1"


def tuned_mark(svg, x, y):
    svg.rect(x - 7, y - 5, 14, 10, "f1", rx=2, opacity="0.55")


def bar(svg, x, y, width, height, top, row):
    length = width * min(row["median_ms"], top) / top
    faint = {"opacity": "0.55"} if row["tuned"] or row["contestant"] == "torch" else {}
    svg.rect(x, y, length, height, kind_of(row), **faint)
    if row["median_ms"] > top:  # cut off: two slanted gaps
        for shift in (22, 16):
            svg.path(f"M{x + length - shift:.1f} {y + height + 1:.1f}l3 {-height - 2:.1f}", "grid", stroke_width="3")
    if row["min_ms"] < top:
        at = x + width * row["min_ms"] / top
        svg.line(at, y, at, y + height, "mark", stroke_width="1.6")
    svg.text(x + length + 5, y + height / 2 + 4, short(row["median_ms"]), "number" + (" own" if row["contestant"] in OWN else ""),
             **({"style": "font-size: 10px"} if height < 11 else {}))


def growth(rows, machine):
    """A panel for each size that grows; both axes logarithmic. The figures are the fastest peer's times over fatwood's."""
    value = {"image size, 1 channel": lambda s: s["size"], "image size, 3 channels": lambda s: s["size"], "batch": lambda s: s["batch"],
             "blocks": lambda s: len(s["features"]) + 1}
    axis = {"image size, 1 channel": "pixels a side, batch 32", "image size, 3 channels": "pixels a side, batch 32", "batch": "images a step",
            "blocks": "blocks, batch 512"}
    found = {}
    for row in rows:
        own = found.setdefault(row["varied"], {}).setdefault(family_of(row), [])
        own.append((value[row["varied"]](row["setting"]), row["median_ms"], row["ratio"]))
    families = list(next(iter(found.values())))
    svg = Svg(760, 106 + 250 * ((len(found) + 1) // 2), "The residual network as sizes grow: milliseconds a training step, both axes logarithmic",
              "; ".join(f"{what}: " + ", ".join(f"{family} " + " ".join(f"{short(ms)} ms at {x}" for x, ms, _ in points) for family, points in curves.items())
                        for what, curves in found.items()))
    svg.text(16, 46, "peers channels-last, with their allocator tuned; the figures are the fastest peer's times over fatwood's", "soft")
    svg.legend(16, 70, [(f"f{list(FAMILIES).index(family)}", family) for family in families])
    for k, (what, curves) in enumerate(found.items()):
        every = [ms for points in curves.values() for _, ms, _ in points]
        xs = [x for x, _, _ in curves["fatwood"]]
        panel = Panel(svg, 60 + 360 * (k % 2), 114 + 250 * (k // 2), 318, 176, xs, (min(every), 1.3 * max(every)), what, axis[what])
        for family, points in reversed(curves.items()):
            panel.curve([(x, ms) for x, ms, _ in points], list(FAMILIES).index(family))
        for at in zip(*curves.values()):
            (x, _, _), *peers = at
            svg.text(panel.x(x) + (5 if x == xs[0] else 0), panel.y(max(ms for _, ms, _ in peers)) - 8, f"{min(ratio for _, _, ratio in peers):.1f} ×",
                     "soft", "end" if x == xs[-1] else "middle")
    svg.text(svg.width - 16, svg.height - 8, machine_words(machine), "soft", "end")
    return svg


def family_of(row):
    return next(title for title, names in FAMILIES.items() if row["contestant"] in names)


def widths(rows, machine):
    """A panel a network: above the cost of an image, since the batch differs, below the ratio to fatwood's with its bound."""
    found = {}
    for row in rows:  # the fastest of each family
        family = family_of(row)
        own = found.setdefault(row["network"], {}).setdefault(family, {})
        if row["width"] not in own or row["ratio"] < own[row["width"]]["ratio"]:
            own[row["width"]] = row
    found = {network: {family: list(own.values()) for family, own in curves.items()} for network, curves in found.items()}
    families = list(next(iter(found.values())))
    svg = Svg(760, 548, "All blocks of one width: a training step's cost",
              "; ".join(f"{network}: " + ", ".join(
                  f"{family} " + " ".join(f"{row['ratio']:.2f} × fatwood's at {row['width']}" for row in own)
                  for family, own in curves.items()) for network, curves in found.items()))
    svg.text(16, 46, "peers with their allocator tuned, the faster of the layouts measured; logarithmic axes above, whiskers down to the 95 % lower bound below", "soft")
    svg.legend(16, 70, [(f"f{list(FAMILIES).index(title)}", title) for title in families])
    for k, (network, curves) in enumerate(found.items()):
        xs = [row["width"] for row in curves["fatwood"]]
        cost = {family: [(row["width"], row["median_ms"] / row["setting"]["batch"]) for row in own] for family, own in curves.items()}
        costs = [y for points in cost.values() for _, y in points]
        above = Panel(svg, 52 + 238 * k, 108, 194, 170, xs, (min(costs), max(costs)), network + ", ms an image", "")
        highest = max(row["ratio"] for own in curves.values() for row in own)
        below = Panel(svg, 52 + 238 * k, 328, 194, 150, xs, (0, highest), "", "channels of every block", linear=True)
        for family, own in reversed(curves.items()):
            i = list(FAMILIES).index(family)
            above.curve(cost[family], i)
            below.curve([(row["width"], row["ratio"]) for row in own], i)
            for row in own:
                if row["ratio_lower_95"] and family != "fatwood":
                    below.whisker(row["width"], row["ratio_lower_95"], row["ratio"], i)
        if k == 0:
            svg.text(52, 318, "times fatwood's step", "axis")
    svg.text(svg.width - 16, svg.height - 10, machine_words(machine), "soft", "end")
    return svg


def kernels(result, machine):
    """A line a layer: direct kernels as discs, Winograd's as diamonds, bf16 as rings; of weight gradients the faster kind."""
    jobs = {"forward": ("forward",), "input gradient": ("input gradient",),
            "weight gradient": ("weight gradient", "weight gradient, channel lanes", "weight gradient, image lanes")}
    shapes = {"": disc, "Winograd ": diamond, "bf16 ": ring}
    rows, left, top, size = result["rows"], 176, 92, 21
    points = []  # layer, job, shape, percent
    for k, row in enumerate(rows):
        percent = row["percent_of_peak"]
        for j, (job, columns) in enumerate(jobs.items()):
            if job == "input gradient" and row["layer"].startswith("1 →"):
                continue  # the first layer's: nobody needs it
            for prefix in shapes:
                values = [percent[prefix + c] for c in columns if percent.get(prefix + c)]
                if values:
                    points.append((k, j, prefix, max(values)))
    most = max(120, 1.04 * max(p[3] for p in points))
    svg = Svg(760, top + size * len(rows) + 64, f"Kernels on one thread: % of the f32 multiply–add peak, {result['peak_gflops']:.0f} GFLOP/s",
              "; ".join(f"{row['layer']}: " + ", ".join(f"{prefix}{list(jobs)[j]} {value:.0f} %" for at, j, prefix, value in points if at == k)
                        for k, row in enumerate(rows)))
    used = {p[2] for p in points}
    svg.legend(16, 50, [(f"f{i}", job) for i, job in enumerate(jobs)])
    svg.legend(16, 70, [((lambda draw: lambda svg, x, y: draw(svg, x, y, 3))(draw), words)
                        for (prefix, draw), words in zip(shapes.items(), ("direct", "Winograd's way, by direct products", "bf16, of the f32 peak")) if prefix in used])
    width, height = svg.width - left - 24, size * len(rows)
    bars(svg, left, top, width, height, most, "")
    hundred = left + width * 100 / most
    svg.line(hundred, top, hundred, top + height, "mark", stroke_dasharray="4 3", opacity="0.6")
    for k, row in enumerate(rows):
        svg.text(left - 8, top + size * k + size / 2 + 4, row["layer"], "number", "end")
        if k:
            svg.line(left, top + size * k, left + width, top + size * k, "grid", opacity="0.5")
    for k, j, prefix, value in points:
        shapes[prefix](svg, left + width * value / most, top + size * k + size / 2 + 4 * (j - 1), j)
    svg.text(left + width / 2, top + height + 34, "% of the peak, by products on pixels inside the image", "soft", "middle")
    svg.text(svg.width - 16, svg.height - 10, machine_words(machine), "soft", "end")
    return svg


def disc(svg, x, y, i):
    svg.circle(x, y, 3.8, f"f{i}")


def ring(svg, x, y, i):
    svg.circle(x, y, 3.4, f"ring l{i}")


def diamond(svg, x, y, i):
    svg.path(f"M{x - 5:.1f} {y:.1f}l5 -5 5 5 -5 5z", f"f{i}")


PICTURES = {"step": {"summary": summary, "times": times}, "kernels": {"kernels": kernels}, "growth": {"growth": growth},
            "widths": {"widths": widths}}


def pictures(result):
    """Section → name → SVG, of the sections that were measured."""
    return {section: {name: str(draw(result[section], result[section + "_machine"])) for name, draw in drawers.items()}
            for section, drawers in PICTURES.items() if section in result}
