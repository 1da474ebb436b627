"""A whole epoch of `fatwood train` beside as many bare steps."""
import csv
import os
import pathlib
import statistics
import subprocess
import tempfile

from contest import ROOT, Contestant, Setting

PROGRAM = ROOT / "build/release/apps/fatwood/fatwood"
MODELS = {"conv": "deeper_cnn", "residual": "residual_cnn", "double": "double_conv_cnn", "resnet18": "resnet18"}
IMAGES = 60_000
STEPS = 12  # of a contestant's turn


def training_passes(model, threads):
    """Seconds of the training passes of two epochs, data, rows, progress, default statistics and checkpoints included."""
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder, "run")
        subprocess.run([PROGRAM, "train", "--model", model, "--epochs", "2", "--threads", str(threads), "--no-plot", "--output", run],
                       check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)})
        with open(run / "summary.csv") as file:
            return [float(row["train_s"]) for row in csv.DictReader(file)]


def epochs(networks, threads, rounds, note):
    """A row for each network: the pass's seconds, how they compare with bare steps turn by turn, and what the peers' bare
    steps and gathers add up to, without a loop around them."""
    rows = []
    for network in networks:
        setting = Setting(network, threads=threads)
        contestants = [Contestant("fused"), Contestant("eager-nhwc", tuned=True), Contestant("compile-nhwc", tuned=True)]
        batches = IMAGES / setting.batch
        try:
            for one in contestants:
                note(f"{network}: warming up {one.title}")
                one.start(setting)
                one.wait_ready()
                one.run("steps", 3)
                one.run("gather", 3)
            passes, ratios, bare = [], [], {one.title: [] for one in contestants}
            for i in range(rounds):
                note(f"{network}: round {i + 1} of {rounds}")
                mine = training_passes(MODELS[network], threads)
                for one in contestants:
                    step, gather = (statistics.median(one.run(command, STEPS)) for command in ("steps", "gather"))
                    bare[one.title].append(batches * (step + (0 if one is contestants[0] else gather)) / 1e3)
                passes += mine
                ratios.append(statistics.median(mine) / bare[contestants[0].title][-1])
            rows.append({"network": network, "model": MODELS[network], "batch": setting.batch, "threads": threads, "train_s": passes,
                         "ratios": ratios, "bare_s": bare})
        finally:
            for one in contestants:
                one.stop()
    return rows
