"""What bench/run.py measures, a function a section: (options, note) → rows for the section's table."""
import json
import subprocess

from contest import ROOT, Contestant, Setting, contest

NETWORKS = ["conv", "residual", "double"]


def chosen(options, default):
    return options.networks.split(",") if options.networks else default


def step(options, note):
    """Every network beside every peer, with the default allocator and a tuned one."""
    rows = []
    for network in chosen(options, NETWORKS if options.quick else [*NETWORKS, "resnet18"]):
        names = ["eager-nhwc", "compile-nhwc"] if options.quick else ["eager", "eager-nhwc", "compile", "compile-nhwc", "bare"]
        if network == "resnet18" and "bare" in names:
            names.remove("bare")  # written out for the page's networks alone
        contestants = [Contestant("fused"), Contestant("fused-bf16")] + [Contestant(name, tuned) for tuned in (False, True) for name in names]
        if not options.quick:
            contestants += [Contestant("torch"), Contestant("compile-nhwc-bf16"), Contestant("compile-nhwc-bf16", tuned=True)]
            if network != "resnet18":
                contestants.append(Contestant("jax"))
        rounds = options.rounds or (4 if options.quick else 10)
        rows += contest(Setting(network, threads=options.threads), contestants, rounds,
                        note=lambda text, network=network: note(f"{network}: {text}"))
    return rows


def kernels(options, note):
    """Each kernel as a fraction of the multiply-add peak, measured in the same run."""
    note("kernels")
    program = ROOT / "build/release/bench/kernels/bench_layers"
    return json.loads(subprocess.run([program], check=True, capture_output=True, text=True).stdout)


def evaluation(options, note):
    rows = []
    for network in chosen(options, NETWORKS):
        contestants = [Contestant(name) for name in ("fused", "eager-nhwc", "bare", "jax")] + [Contestant("eager-nhwc", tuned=True)]
        rows += contest(Setting(network, threads=options.threads), contestants, options.rounds or 8, "evaluate",
                        note=lambda text, network=network: note(f"{network}: {text}"))
    return rows


def memory(options, note):
    """Peak of the process above what it held before the network was built, over five steps."""
    rows = []
    for network in chosen(options, NETWORKS):
        for name in ("fused", "torch", "bare", "eager", "eager-nhwc"):
            note(f"{network}: {name}")
            contestant = Contestant(name)
            contestant.start(Setting(network, threads=options.threads))
            try:
                contestant.wait_ready()
                contestant.run("steps", 5)
                rows.append({"network": network, "contestant": name, "title": contestant.title, "version": contestant.version,
                             "peak_bytes": int(contestant.run("peak")[0])})
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
    """A step of the residual network as one size grows; the others stay."""
    page = (8, 16, 32, 64, 128)

    def setting(batch=512, channels=1, size=28, features=page):
        return Setting("residual", batch, channels, size, features, options.threads)

    varied = {
        "width of all blocks": [setting(batch=32, channels=3, features=(w,) * 5) for w in (8, 16, 32, 64, 128, 256)],
        # every doubling of the image takes a block more
        "image size": [setting(batch=32, channels=3, size=28 << k, features=page + (128,) * k) for k in range(4)],
        "batch": [setting(batch=batch) for batch in (32, 128, 512, 2048)],
        "blocks": [setting(features=page + (128,) * k) for k in (0, 2, 4, 8)],
    }
    rows = []
    for what, settings in varied.items():
        for setting in settings:
            found = contest(setting, [Contestant("fused"), Contestant("eager-nhwc", tuned=True)], options.rounds or 4,
                            note=lambda text, w=what: note(f"{w}: {text}"))
            rows += [row | {"varied": what} for row in found]
    return rows


SECTIONS = {"step": step, "kernels": kernels, "threads": threads, "memory": memory, "evaluation": evaluation, "growth": growth}
