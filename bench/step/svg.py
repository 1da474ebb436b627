"""SVG by hand in the look of the HTML report: its colours, light and dark, come from its own style sheet."""
import math
import pathlib
import re
from html import escape

STYLE_SHEET = pathlib.Path(__file__).resolve().parents[2] / "src/fatwood/report/page/page.css"
PANEL_RADIUS = 3


def colours(dark):
    """The report's variables, as a list of declarations."""
    text = STYLE_SHEET.read_text()
    block = re.search(r":root:not\(\[data-theme=\"light\"\]\) \{(.*?)\}" if dark else r":root \{(.*?)\}", text, re.DOTALL)[1]
    return " ".join(re.findall(r"--[\w-]+: *#\w+;", block))


def style():
    return f"""svg {{ {colours(dark=False)} }}
@media (prefers-color-scheme: dark) {{ svg {{ {colours(dark=True)} }} }}
text {{ font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--plot-text); }}
.title {{ font-size: 15px; }} .axis {{ font-size: 13px; }}
.tick, .soft {{ font-size: 11px; font-weight: 400; fill: var(--plot-soft); }}
.head {{ font-size: 13px; font-weight: 600; }} .own {{ font-weight: 600; }} .number {{ font-variant-numeric: tabular-nums; }}
.card {{ fill: var(--card); }} .panel {{ fill: var(--panel); }} .grid {{ stroke: var(--grid); }} .mark {{ stroke: var(--plot-text); }}
{" ".join(f".f{i} {{ fill: var(--s{i}); }} .l{i} {{ stroke: var(--s{i}); fill: none; }}" for i in range(7))}
.line {{ stroke-width: 1.8; stroke-linejoin: round; }} .ring {{ stroke-width: 2; }}"""


class Svg:
    """A picture under construction: elements in the order of painting."""

    def __init__(self, width, height, title, description):
        self.width, self.height, self.title, self.description = width, height, title, description
        self.parts = []
        self.text(16, 27, title, "title")

    def add(self, element, **attributes):
        written = " ".join(f'{name.replace("_", "-")}="{value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")}"'
                           for name, value in attributes.items())
        self.parts.append(f"<{element} {written}/>")

    def rect(self, x, y, width, height, kind, **more):
        self.add("rect", x=x, y=y, width=width, height=height, **{"class": kind}, **more)

    def line(self, x1, y1, x2, y2, kind, **more):
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, **{"class": kind}, **more)

    def circle(self, x, y, r, kind, **more):
        self.add("circle", cx=x, cy=y, r=r, **{"class": kind}, **more)

    def polyline(self, points, kind, **more):
        self.add("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), **{"class": kind}, **more)

    def path(self, d, kind, **more):
        self.add("path", d=d, **{"class": kind}, **more)

    def text(self, x, y, words, kind="", anchor="start", aside="", **more):
        """`aside` follows the words, softly."""
        extra = "".join(f' {name}="{value}"' for name, value in more.items())
        aside = f'<tspan class="soft" dx="10">{escape(aside)}</tspan>' if aside else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}"{extra}>{escape(str(words))}{aside}</text>')

    def legend(self, x, y, entries):
        """In one line: (fill class, words) each; an entry's shape may be drawn by a function of its own."""
        for mark, words in entries:
            mark(self, x + 7, y - 4) if callable(mark) else self.rect(x, y - 9, 14, 10, mark, rx=2)
            self.text(x + 20, y, words)
            x += 20 + text_width(words) + 14

    def __str__(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height:.0f}" width="{self.width}" '
                f'height="{self.height:.0f}" role="img" aria-labelledby="title description">\n<title id="title">{escape(self.title)}</title>\n'
                f'<desc id="description">{escape(self.description)}</desc>\n<style>{style()}</style>\n'
                f'<rect class="card" width="{self.width}" height="{self.height:.0f}" rx="8"/>\n' + "\n".join(self.parts) + "\n</svg>\n")


def text_width(words, size=12):
    """Enough for the widest of the fonts."""
    return 0.57 * size * len(words)


def short(value):
    """Three digits, and no more than that."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def linear_ticks(top, wanted=6):
    """Round numbers from 0 to at most top."""
    step = 10 ** math.floor(math.log10(top / wanted))
    step *= next(k for k in (1, 2, 5, 10) if top / (k * step) <= wanted)
    return [step * i for i in range(math.floor(top / step + 1e-9) + 1)]


def log_ticks(low, high):
    """Powers of ten between, with more digits where there are few."""
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [d * 10.0**p for p in powers for d in digits if low <= d * 10.0**p <= high]
        if len(ticks) >= 4:
            break
    return ticks


class Panel:
    """Axes: x logarithmic with its ticks where the data are; y logarithmic between `span`, or linear from 0 to its top."""

    PAD = 14

    def __init__(self, svg, x, y, width, height, xs, span, title, x_title, linear=False):
        self.svg, self.box, self.linear = svg, (x, y, width, height), linear
        low, high = (0, span[1] * 1.08) if linear else (span[0] / 1.25, span[1] * 1.25)
        self.x_span, self.y_span = (math.log(xs[0]), math.log(xs[-1])), (low, high) if linear else (math.log(low), math.log(high))
        if title:
            svg.text(x, y - 8, title, "axis")
        svg.rect(x, y, width, height, "panel", rx=PANEL_RADIUS)
        for tick in linear_ticks(high) if linear else log_ticks(low, high):
            svg.line(x, self.y(tick), x + width, self.y(tick), "grid")
            svg.text(x - 6, self.y(tick) + 4, f"{tick:g}", "tick", "end")
        for tick in xs:
            svg.line(self.x(tick), y, self.x(tick), y + height, "grid")
            svg.text(self.x(tick), y + height + 15, tick, "tick", "middle")
        svg.text(x + width / 2, y + height + 32, x_title, "soft", "middle")

    def x(self, value):
        x, _, width, _ = self.box
        low, high = self.x_span
        return x + self.PAD + (math.log(value) - low) / (high - low) * (width - 2 * self.PAD)

    def y(self, value):
        _, y, _, height = self.box
        low, high = self.y_span
        return y + height * (1 - ((value if self.linear else math.log(value)) - low) / (high - low))

    def curve(self, points, i):
        at = [(self.x(x), self.y(y)) for x, y in points]
        self.svg.polyline(at, f"line l{i}")
        for x, y in at:
            self.svg.circle(x, y, 3.2, f"f{i}")

    def whisker(self, x, low, high, i):
        """From a point down to a bound."""
        self.svg.line(self.x(x), self.y(high), self.x(x), self.y(low), f"l{i}")
        self.svg.line(self.x(x) - 3, self.y(low), self.x(x) + 3, self.y(low), f"l{i}")
