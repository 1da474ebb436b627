"""Pictures and the page from a result of every section."""
import re
import xml.etree.ElementTree as ElementTree

import pytest

import contest
import sections
import svg
import tables
from pictures import pictures

MACHINE = {"cpu": "a <CPU>", "family": "1", "model": "2", "isa": "avx2 avx512f", "threads": 2, "python": "3", "commit": "c", "date": "2026-01-01"}
SVG = "{http://www.w3.org/2000/svg}"


def row(setting, name, ms, tuned=False, **more):
    contestant, ours = contest.Contestant(name, tuned, version="1"), contest.Contestant("fused")
    contestant.times, ours.times = [[ms, 1.1 * ms], [1.05 * ms, ms]], [[10.0, 11.0], [10.0, 10.5]]
    return contest.row_of(contestant, ours, setting) | more


def test_a_peers_ratio_to_bf16_is_that_of_the_fastest_of_any_precision():
    ours = contest.Contestant("fused-bf16")
    ours.times = [[5.0, 5.0], [5.0, 5.0]]

    def beside(name, ms, tuned=False):
        contestant = contest.Contestant(name, tuned)
        contestant.times = [[ms, ms], [ms, 2 * ms]]
        return row(contest.Setting("conv", 512), name, ms, tuned) | {"to_bf16": contest.ratios(contestant, ours)}

    rows = [beside("fused", 8.0), beside("fused-bf16", 5.0), beside("torch", 6.0), beside("eager", 30.0), beside("compile-bf16", 20.0), beside("compile", 15.0, True)]
    text = tables.bf16_table(rows)
    assert "| conv | torch.compile, bf16 autocast | 20.50 | 5.00 | 4.00 | 6.00 |" in text
    assert "| conv | torch.compile, allocator tuned | 15.38 | 3.75 | 3.00 | 4.50 |" in text
    assert len(text.splitlines()) == 6 and tables.bf16_table([row(contest.Setting(), "fused", 1.0)]) == ""


@pytest.fixture
def result():
    page = contest.Setting("conv", 512)
    wide = [row(contest.Setting("conv", 512, features=(width,) * 5), name, ms, tuned=name != "fused", width=width)
            for width in sections.WIDTHS for name, ms in (("fused", 10), ("eager-nhwc", 22), ("compile-nhwc", 21), ("compile", 20.5), ("bare", 9.5))]
    grown = [row(contest.Setting("residual", batch), name, ms * batch, varied="batch")
             for batch in (32, 512) for name, ms in (("fused", 0.2), ("eager-nhwc", 0.4), ("compile-nhwc", 0.5), ("bare", 0.3))]
    percent = {"forward": 90.0, "input gradient": 85.0, "weight gradient, channel lanes": 80.0, "weight gradient, image lanes": 70.0, "Winograd forward": None}
    step = [row(page, "fused", 10.0, peak_gflops=236.0), row(page, "eager", 30.0), row(page, "eager", 25.0, tuned=True), row(page, "jax", 900.0)]
    epochs = [{"network": "conv", "model": "deeper_cnn", "batch": 512, "threads": 2, "train_s": [2.0, 2.2, 2.1], "ratios": [1.05, 1.01, 1.08],
               "bare_s": {"fatwood, fused kernels": [2.0, 2.0, 1.9], "PyTorch eager": [6.0, 6.2, 6.1]}}]
    found = {"epochs": epochs, "step": sections.with_limits(step), "kernels": {"isa": "avx512", "peak_gflops": 118.0, "rows": [{"layer": "1 → 8, 5×5/1, 28×28", "percent_of_peak": percent}]},
             "growth": grown, "widths": wide,
             "inside": [{"isa": "avx2", "network": "conv", "batch": 512, "step_ms": 40.0, "rows": [
                 {"kernel": "statistics", "shape": "", "calls": 384, "ms": 0.25, "repeated_ms": 0.1},
                 {"kernel": "forward", "shape": "1 → 8", "calls": 64, "ms": 3.0, "repeated_ms": 2.0}]}]}
    return found | {name + "_machine": MACHINE for name in found}


def drawn(result):
    return {name: text for own in pictures(result).values() for name, text in own.items()}


def test_every_picture_has_a_title_and_says_its_figures(result):
    found = drawn(result)
    assert set(found) == {"summary", "times", "kernels", "growth", "widths"}
    for text in found.values():
        root = ElementTree.fromstring(text)
        assert root.find(SVG + "title").text and re.search(r"\d", root.find(SVG + "desc").text)


def test_nothing_is_painted_outside_the_picture(result):
    for name, text in drawn(result).items():
        root = ElementTree.fromstring(text)
        width, height = map(float, root.get("viewBox").split()[2:])
        for element in root.iter():
            x, y = (float(element.get(k, element.get("c" + k, 0))) for k in "xy")
            points = [(x, y)] + [(float(element.get("x" + i, 0)), float(element.get("y" + i, 0))) for i in "12"]
            points += [tuple(map(float, point.split(","))) for point in element.get("points", "").split()]
            if not element.tag.endswith("svg"):
                points.append((x + float(element.get("width", 0)), y + float(element.get("height", 0))))
            assert all(-0.1 <= px <= width + 0.1 and -0.1 <= py <= height + 0.1 for px, py in points), (name, element.tag, element.attrib)


def test_a_bar_far_longer_than_the_others_is_cut_off_and_keeps_its_figure(result):
    text = drawn(result)["times"]
    assert ">922<" in text and "l3 -" in text  # the median of 900, 900, 945 and 990


@pytest.mark.parametrize("dark", [False, True])
def test_every_colour_stands_in_the_reports_style_sheet(dark):
    used = set(re.findall(r"var\((--[\w-]+)\)", svg.style()))
    assert used <= set(re.findall(r"(--[\w-]+):", svg.colours(dark)))


def test_the_page_shows_limits_bounds_and_pictures(result):
    page = tables.page(result, {"step": ["step-times.svg"]})
    gflop = result["step"][0]["gflop"]
    assert f"| conv | {gflop:.2f} | {1e3 * gflop / 236:.2f} | 10.25 | {100 * 1e3 * gflop / 236 / 10.25:.0f} % |" in page
    assert "](step-times.svg)" in page


def test_the_page_shows_what_an_epoch_takes_over_its_bare_steps(result):
    assert "| conv | 2.10 | 2.00 | 1.050 | 1.010 | 1.080 | 6.10 |" in tables.page(result, {})


def test_growth_names_the_fastest_peer_of_each_size(result):
    page = tables.page(result, {})
    assert re.search(r"^\| batch \| 32 \| 1 × 28 × 28 \| .* \| LibTorch from C\+\+, channels-last \| 0\.\d\d \| 0\.\d+ \|$", page, re.M)
    assert "| what grows | batch | image | features | fatwood | PyTorch eager, channels-last | torch.compile, channels-last |" in page
    ratio = min(row["ratio"] for row in result["growth"] if row["contestant"] != "fused" and row["setting"]["batch"] == 512)
    assert f">{ratio:.1f} ×<" in drawn(result)["growth"]


def test_the_page_adds_up_the_small_kernels_of_a_step(result):
    page = tables.page(result, {})
    assert "| forward 1 → 8 | 64 | 3.00 | 2.00 | 1.50 |\n| the others | 384 | 0.25 | 0.10 | 2.50 |\n| all kernels | 448 | 3.25 | 2.10 | 1.55 |" in page


def test_a_peer_that_is_faster_by_the_bound_is_marked(result):
    lines = [line for line in tables.page(result, {}).splitlines() if line.startswith("| conv | 8 | 512 |")]
    assert len(lines) == 1 and lines[0].endswith("| no |") and "LibTorch from C++" in lines[0]
