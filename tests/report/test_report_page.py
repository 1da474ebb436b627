"""The reports in a real browser: every plot is drawn with as many marks as its data ask for, the
console stays empty, nothing is requested from any network, and the page fits a phone.

The pages come from the program named by FATWOOD_REPORT_SAMPLES (tests/report/report_samples.cpp);
the numbers expected are counted here from the runs' own rows."""
import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no chromium on this machine: apt-get install chromium", allow_module_level=True)

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-default-apps", "--enable-logging=stderr", "--virtual-time-budget=30000"]

# Opens every closed part, waits for the plots, and leaves what it saw in the page.
PROBE = """
<script>
(function () {
  const report = { plots: {}, failed: [] };
  document.querySelectorAll('details.run').forEach(d => { d.open = true; });
  function count(item, counts) {
    for (const mark of item.items || []) {
      if (mark.marktype && mark.marktype !== 'group' && mark.role === 'mark')
        counts[mark.marktype] = (counts[mark.marktype] || 0) + mark.items.length;
      if (mark.marktype === 'group' || mark.items) count(mark, counts);
    }
  }
  function finish() {
    for (const entry of window.fatwoodViews) {
      const counts = {};
      count(entry.view.scenegraph().root, counts);
      report.plots[entry.name] = counts;
    }
    document.querySelectorAll('.view').forEach(view => {
      if (!view.querySelector('svg, canvas')) report.failed.push(view.dataset.spec);
    });
    report.images = [...document.images].filter(i => i.naturalWidth > 0).length;
    report.unlabelled = [...document.querySelectorAll('img:not([alt]), [role=img]:not([aria-label]), button:empty')].length;
    report.width = document.documentElement.scrollWidth;
    report.window = document.documentElement.clientWidth;
    report.headings = [...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1]);
    report.ids = [...document.querySelectorAll('[id]')].map(e => e.id);
    report.scrollers = [...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0);
    const pre = document.createElement('pre');
    pre.id = 'probe';
    pre.textContent = JSON.stringify(report);
    document.body.append(pre);
  }
  let left = 200;
  const timer = setInterval(() => {
    const wanted = document.querySelectorAll('.view').length;
    if (--left === 0 || (document.documentElement.dataset.plots === 'done' &&
                         window.fatwoodViews.length === wanted)) {
      clearInterval(timer);
      finish();
    }
  }, 100);
})();
</script>
"""


def run_chromium(arguments, profile):
    return subprocess.run([CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *arguments],
                          capture_output=True, text=True, timeout=300)


class Page:
    def __init__(self, path, scratch, width):
        probed = scratch / f"{path.stem}-{width}.html"
        text = path.read_text()
        assert text.rstrip().endswith("</html>")
        probed.write_text(text.replace("</body>\n</html>", PROBE + "</body>\n</html>"))
        net_log = scratch / f"{path.stem}-{width}.netlog"
        result = run_chromium(["--dump-dom", f"--window-size={width},900",
                               f"--log-net-log={net_log}", probed.as_uri()],
                              scratch / f"profile-{path.stem}-{width}")
        self.console = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
        found = re.search(r'<pre id="probe">(.*?)</pre>', result.stdout, re.S)
        assert found, result.stderr[-2000:]
        self.seen = json.loads(html.unescape(found.group(1)))
        # Chromium's own errands have no origin; what a page asks for has.
        self.requests = [url for origin, url in re.findall(
            r'"initiator":"([^"]*)".*?"url":"([^"]+)"', net_log.read_text())
            if origin != "not an origin" and not url.startswith(("file:", "data:", "blob:"))]


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    program = os.environ["FATWOOD_REPORT_SAMPLES"]
    subprocess.run([program, str(folder)], check=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def page(samples, tmp_path_factory):
    pages = {}

    def load(name, width=1280):
        if (name, width) not in pages:
            pages[name, width] = Page(samples / f"{name}.html", tmp_path_factory.mktemp("page"), width)
        return pages[name, width]

    return load


def rows(folder):
    lines = (folder / "rows.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return {kind: [r for r in records if r["type"] == kind]
            for kind in ("run", "batch", "stats", "epoch", "end")}


def expected_marks(folder):
    """Marks per plot, from the folder's rows and artefacts; up to 600 batches nothing is thinned."""
    run = rows(folder)
    batches, layers = len(run["batch"]), len(run["run"][0]["layers"])
    evals = len([r for r in run["epoch"] if r["mode"] == "eval"])
    histograms = [r for r in run["stats"] if "hist" in r]
    marks = {
        "loss": {"line": 2 * batches + evals, "symbol": batches + evals},
        "metric": {"line": len(run["epoch"]), "symbol": len(run["epoch"])},
        "schedule": {"line": 2 * batches, "symbol": 2 * batches},
        "mean-std": {"line": 2 * layers * len(run["stats"])},
        "hist": {"rect": sum(len(counts) for r in histograms for counts in r["hist"])},
        "near-zero": {"line": layers * len(histograms)},
    }
    if not run["epoch"]:
        del marks["metric"]
    if (folder / "predictions.json").exists():
        predictions = json.loads((folder / "predictions.json").read_text())
        summary = json.loads((folder / "summary.json").read_text())
        found = json.loads((folder / "lr_find.json").read_text())
        cells = len(predictions["confusion"]) ** 2
        marks["confusion"] = {"rect": cells, "text": cells}
        marks["parameters"] = {"rect": 2 * len(summary["layers"]), "text": 2 * len(summary["layers"])}
        marks["lr-find"] = {"line": len(found["lr"]), "rule": len(found["suggestions"])}
    return marks


@pytest.mark.parametrize("name", ["plain", "stopped", "killed"])
@pytest.mark.parametrize("width", [500, 1280])
def test_every_plot_has_the_marks_that_its_data_ask_for(samples, page, name, width):
    seen = page(name, width).seen
    assert seen["failed"] == []
    wanted = expected_marks(samples / name)
    assert sorted(seen["plots"]) == sorted(f"{plot}-spec" for plot in wanted)
    for plot, counts in wanted.items():
        for mark, number in counts.items():
            assert seen["plots"][f"{plot}-spec"].get(mark, 0) == number, (plot, mark)


def test_every_sample_is_a_picture_that_loads(samples, page):
    predictions = json.loads((samples / "plain/predictions.json").read_text())
    assert page("plain").seen["images"] == len(predictions["worst"]) + len(predictions["best"])


def test_several_runs_share_plots_and_keep_their_own(samples, page):
    seen = page("several").seen
    assert seen["failed"] == []
    runs = [rows(samples / name) for name in ("plain", "second", "faster", "stopped")]
    batches = sum(len(run["batch"]) for run in runs)
    evals = sum(len([r for r in run["epoch"] if r["mode"] == "eval"]) for run in runs)
    assert seen["plots"]["all-loss-spec"]["line"] == batches + evals
    assert seen["plots"]["all-schedule-spec"]["line"] == 2 * batches
    for i, name in enumerate(("plain", "second", "faster", "stopped")):
        for plot, counts in expected_marks(samples / name).items():
            for mark, number in counts.items():
                assert seen["plots"][f"run{i + 1}-{plot}-spec"].get(mark, 0) == number, (name, plot)


@pytest.mark.parametrize("name", ["plain", "stopped", "killed", "long", "several", "hostile", "loss"])
def test_the_console_is_empty_and_no_request_leaves(page, name):
    assert page(name).console == []
    assert page(name).requests == []


def test_the_checks_see_a_request_and_a_console_message(samples, page):
    """Without the policy, a picture from elsewhere is asked for; with it, the console says so."""
    text = (samples / "killed.html").read_text()
    tracker = '<img alt="" src="http://127.0.0.1:9/tracker.png">'
    text = text.replace("<main", tracker + "<main", 1)
    (samples / "refused.html").write_text(text)
    (samples / "leaking.html").write_text(re.sub(r'<meta http-equiv="Content-Security[^>]*>', "", text))
    assert page("refused").requests == []
    assert page("refused").console != []
    assert any("tracker.png" in url for url in page("leaking").requests)


@pytest.mark.parametrize("name", ["plain", "several", "killed"])
@pytest.mark.parametrize("width", [500, 1280])
def test_the_page_never_scrolls_sideways(page, name, width):
    seen = page(name, width).seen
    assert seen["width"] <= seen["window"]


@pytest.mark.parametrize("name", ["plain", "several"])
def test_screen_readers_and_keyboards_find_their_way(page, name):
    seen = page(name).seen
    assert seen["unlabelled"] == 0
    assert seen["scrollers"]
    assert seen["headings"][0] == 1 and seen["headings"].count(1) == 1
    for before, after in zip(seen["headings"], seen["headings"][1:]):
        assert after <= before + 1, "a level of headings is left out"
    assert len(seen["ids"]) == len(set(seen["ids"]))


def test_a_three_epoch_report_is_small(samples):
    assert (samples / "plain.html").stat().st_size <= 1.5e6
    # Forty epochs are thinned: not much larger than three.
    assert (samples / "long.html").stat().st_size <= 1.5e6


def test_text_of_a_run_cannot_become_markup(samples):
    text = (samples / "hostile.html").read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_plots_render_outside_the_browser_too(samples):
    convert = pytest.importorskip("vl_convert")
    specs = sorted(samples.glob("*.vl.json"))
    assert len(specs) == 11
    for spec in specs:
        svg = convert.vegalite_to_svg(spec.read_text(), vl_version="6.4")
        assert svg.count("<path") + svg.count("<image") + svg.count("<text") > 10, spec.name
        assert "NaN" not in svg
