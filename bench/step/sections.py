"""What bench/run.py measures, a function a section: (options, note) → rows for the section's table."""
import json
import subprocess

from contest import PROGRAMS, Contestant, Setting, contest
from epochs import epochs

NETWORKS = ["conv", "residual", "double"]
PAGE = (8, 16, 32, 64, 128)


def chosen(options, default):
    return options.networks.split(",") if options.networks else default


def step(options, note):
    """Every network beside every peer, with the default allocator and a tuned one."""
    rows = []
    for network in chosen(options, NETWORKS if options.quick else [*NETWORKS, "resnet18"]):
        names = ["eager-nhwc", "compile-nhwc"] if options.quick else ["eager", "eager-nhwc", "compile", "compile-nhwc", "bare"]
        if network == "resnet18" and "bare" in names:
            names.remove("bare")  # written out for the page's networks alone
        ours = [Contestant("fused")]
        if not options.quick:
            ours.append(Contestant("fused-direct"))
        if network != "resnet18":  # whose kernels stay f32
            ours.append(Contestant("fused-bf16"))
        contestants = ours + [Contestant(name, tuned) for tuned in (False, True) for name in names]
        if not options.quick:
            contestants += [Contestant("torch"), Contestant("eager-nhwc-bf16")]
            contestants += [Contestant(name, tuned) for name in ("compile-bf16", "compile-nhwc-bf16") for tuned in (False, True)]
            if network != "resnet18":
                contestants.append(Contestant("jax"))
        if options.no_bf16:
            contestants = [one for one in contestants if "bf16" not in one.name]
        rounds = options.rounds or (4 if options.quick else 10)
        rows += contest(Setting(network, threads=options.threads), contestants, rounds, peak=True,
                        note=lambda text, network=network: note(f"{network}: {text}"))
    return with_limits(rows)


def with_limits(rows):
    """Adds to every row with a peak how long the step takes at least: without taps on padding, at the highest peak of all."""
    import work  # and with it torch, which only this section and `widths` need here

    own = [row for row in rows if "peak_gflops" in row]
    peak = max(row["peak_gflops"] for row in own)
    for row in own:
        row["gflop"] = round(work.step_gflop(setting_of(row)), 4)
        row["limit_ms"] = round(1e3 * row["gflop"] / peak, 3)
    return rows


def setting_of(row):
    s = row["setting"]
    return Setting(row["network"], s["batch"], s["channels"], s["size"], tuple(s["features"]), s["threads"])


def kernels(options, note):
    """Each kernel as a fraction of the multiply-add peak, measured in the same run."""
    note("kernels")
    program = PROGRAMS / "kernels/bench_layers"
    return json.loads(subprocess.run([program], check=True, capture_output=True, text=True).stdout)


def inside(options, note):
    """Where a step's time goes, kernel by kernel, on one thread."""
    results = []
    for network in chosen(options, NETWORKS):
        note(f"inside {network}")
        program = [PROGRAMS / "kernels/bench_inside", network, "512", str(2 * (options.rounds or 5))]
        results.append(json.loads(subprocess.run(program, check=True, capture_output=True, text=True).stdout))
    return results


def evaluation(options, note):
    rows = []
    for network in chosen(options, NETWORKS):
        names = ["fused", "eager-nhwc", "compile-nhwc"] + (["bare", "jax"] if network != "resnet18" else [])
        contestants = [Contestant(name) for name in names]
        contestants += [Contestant(name, tuned=True) for name in ("eager-nhwc", "compile-nhwc")]
        rows += contest(Setting(network, threads=options.threads), contestants, options.rounds or 8, "evaluate",
                        note=lambda text, network=network: note(f"{network}: {text}"))
    return rows


def gather(options, note):
    """A batch of floats from stored bytes: random images, scaled and normalised."""
    rows = []
    for channels, size in ((1, 28), (3, 32)):
        rows += contest(Setting("conv", channels=channels, size=size, threads=options.threads), [Contestant("fused"), Contestant("eager"),
                        Contestant("eager", tuned=True)], options.rounds or 8, "gather", round_ms=100, note=note)
    return rows


def memory(options, note):
    """Peak of the process above what it held before the network was built, over five steps and an evaluation of the same batch."""
    rows = []
    for network in chosen(options, [*NETWORKS, "resnet18"]):
        for name in ("fused", "fused-bf16", "torch", "bare", "eager", "eager-nhwc"):
            if network == "resnet18" and name in ("fused-bf16", "bare"):
                continue
            note(f"{network}: {name}")
            contestant = Contestant(name)
            contestant.start(Setting(network, threads=options.threads))
            try:
                contestant.wait_ready()
                contestant.run("steps", 5)
                contestant.run("evaluate", 1)
                rows.append({"network": network, "contestant": name, "title": contestant.title, "version": contestant.version,
                             "evaluated": True, "peak_bytes": int(contestant.run("peak")[0])})
            finally:
                contestant.stop()
    return rows


def threads(options, note):
    """One contestant is fatwood on one thread, the others on more."""
    rows = []
    for network in chosen(options, NETWORKS):
        for count in range(1, options.threads + 1):
            for row in contest(Setting(network, threads=count), [Contestant("fused"), Contestant("eager-nhwc", tuned=True)],
                               options.rounds or 6, note=lambda text, n=network, c=count: note(f"{n} on {c}: {text}")):
                rows.append(row)
    return rows


def growth(options, note):
    """A step of the residual network as one size grows, the others staying, beside the peers that came out fastest on the page's."""

    def setting(batch=512, channels=1, size=28, features=PAGE):
        return Setting("residual", batch, channels, size, features, options.threads)

    def images(channels):  # every doubling of the image takes a block more
        return [setting(batch=32, channels=channels, size=28 << k, features=PAGE + (128,) * k) for k in range(4)]

    varied = {
        "image size, 1 channel": images(1),
        "image size, 3 channels": images(3),
        "batch": [setting(batch=batch) for batch in (32, 128, 512, 2048)],
        "blocks": [setting(features=PAGE + (128,) * k) for k in (0, 2, 4, 8)],
    }
    rows = []
    for what, settings in varied.items():
        for setting in settings:
            contestants = [Contestant("fused")] + [Contestant(name, tuned=True) for name in ("eager-nhwc", "compile-nhwc", "bare")]
            found = contest(setting, contestants, options.rounds or 5, round_ms=150, note=lambda text, w=what: note(f"{w}: {text}"))
            rows += [row | {"varied": what} for row in found]
    return rows


WIDTHS = (8, 16, 32, 64, 128, 256)
MOST_GFLOP = 60  # a step, where the batch is ours to choose: about a quarter of a second of two cores


def batch_for(network, features):
    """The largest power of two from 32, which fills the lanes of two threads, to 512 with a step below MOST_GFLOP."""
    import work

    batch = 512
    while batch > 32 and work.step_gflop(Setting(network, batch, features=features)) > MOST_GFLOP:
        batch //= 2
    return batch


def widths(options, note):
    """A step of every network with all blocks of one width, beside the peers that came out fastest on the page's."""
    rows = []
    for network in chosen(options, NETWORKS):
        for width in WIDTHS:
            features = (width,) * len(PAGE)
            setting = Setting(network, batch_for(network, features), features=features, threads=options.threads)
            contestants = [Contestant("fused")] + [Contestant(name, tuned=True) for name in ("eager-nhwc", "compile", "compile-nhwc", "bare")]
            found = contest(setting, contestants, options.rounds or 5, round_ms=150,
                            note=lambda text, n=network, w=width: note(f"{n}, width {w}: {text}"))
            rows += [row | {"width": width} for row in found]
    return rows


def whole_epochs(options, note):
    """Training passes of `fatwood train` beside bare steps, ours and the peers'."""
    return epochs(chosen(options, NETWORKS), options.threads, options.rounds or 5, note)


SECTIONS = {"step": step, "epochs": whole_epochs, "kernels": kernels, "inside": inside, "threads": threads, "memory": memory, "gather": gather,
            "evaluation": evaluation, "growth": growth, "widths": widths}
