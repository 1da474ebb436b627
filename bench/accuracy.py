#!/usr/bin/env python3
"""Final accuracy of the page's networks over seeds, beside the page's own figures.

    bench/accuracy.py [--program PATH] [--seeds 0,1,2,3,4] [--models a,b] [--epochs 3] [-o bench/results/accuracy]
    bench/accuracy.py -o bench/results/accuracy-bf16 --beside bench/results/accuracy.json -- --amp bf16

Runs `fatwood train` once per model and seed, one after another, and writes OUT.json (every run's
figures, the machine, the versions) and OUT.md (the table). Runs that OUT.json already holds are kept,
so an interrupted call goes on where it was. With --beside, the table also has the differences of final
accuracy to the other file's runs, paired by model and seed, with the lower bound of their mean's 95 % interval.
"""
import argparse, csv, json, os, pathlib, statistics, subprocess, sys, tempfile

from paired import lower_bound

PAGE = {  # evaluation accuracy and loss after the third epoch; the page has no figure for the CNN
    "deeper_cnn": (0.895, 0.314),
    "residual_cnn": (0.915, 0.228),
    "double_conv_cnn": (0.910, 0.275),
    "resnet18": (0.906, 0.260),
}


def train(program, model, seed, epochs, extra):
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        command = [program, "train", "--model", model, "--seed", str(seed), "--epochs", str(epochs), "--output", str(run)]
        subprocess.run(command + extra, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        args = json.loads((run / "args.json").read_text())
        rows = list(csv.DictReader((run / "summary.csv").open()))
    return {
        "model": model,
        "seed": seed,
        "eval_accuracy": [float(row["eval_accuracy"]) for row in rows],
        "eval_loss": [float(row["eval_loss"]) for row in rows],
        "train_accuracy": [float(row["train_accuracy"]) for row in rows],
        "train_s": [float(row["train_s"]) for row in rows],
        "fatwood": args["fatwood"],
        "libtorch": args["libtorch"],
        "machine": args["machine"],
        "started": args["timing"]["started"],
    }


def paired(runs, others):
    def final_of(several):
        return {(run["model"], run["seed"]): run["eval_accuracy"][-1] for run in several}

    own, other = final_of(runs), final_of(others)
    lines = ["| model | pairs | mean difference | deviation | 95 % lower bound |", "| -- | -- | -- | -- | -- |"]
    for model in dict.fromkeys(run["model"] for run in runs):
        differences = [own[key] - other[key] for key in own if key[0] == model and key in other]
        if len(differences) < 2:
            continue
        mean, spread = statistics.mean(differences), statistics.stdev(differences)
        lines.append(f"| {model} | {len(differences)} | {mean:+.4f} | {spread:.4f} | {lower_bound(differences):+.4f} |")
    return "\n".join(lines) + "\n"


def table(runs, epochs):
    lines = [
        "| model | seeds | final accuracy, mean ± deviation | lowest | highest | page | final loss, mean | page |",
        "| -- | -- | -- | -- | -- | -- | -- | -- |",
    ]
    for model in dict.fromkeys(run["model"] for run in runs):
        own = [run for run in runs if run["model"] == model]
        final = [run["eval_accuracy"][-1] for run in own]
        loss = [run["eval_loss"][-1] for run in own]
        spread = statistics.stdev(final) if len(final) > 1 else float("nan")
        page = PAGE.get(model, ("", "")) if epochs == 3 else ("", "")
        seeds = ", ".join(str(run["seed"]) for run in own)
        lines.append(
            f"| {model} | {seeds} | {statistics.mean(final):.4f} ± {spread:.4f} | {min(final):.4f} | {max(final):.4f} "
            f"| {page[0]} | {statistics.mean(loss):.4f} | {page[1]} |"
        )
    lines += ["", "| model | seed | accuracy by epoch | final loss |", "| -- | -- | -- | -- |"]
    for run in runs:
        accuracy = " ".join(f"{value:.4f}" for value in run["eval_accuracy"])
        lines.append(f"| {run['model']} | {run['seed']} | {accuracy} | {run['eval_loss'][-1]:.4f} |")
    machine = runs[-1]["machine"]
    lines += ["", f"{machine['cpu']}, {machine['threads']} threads; fatwood {runs[-1]['fatwood']}, LibTorch {runs[-1]['libtorch']}."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/release/apps/fatwood/fatwood")
    parser.add_argument("--models", default=",".join(PAGE))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("-o", "--out", default="bench/results/accuracy")
    parser.add_argument("--beside", type=pathlib.Path, help="another OUT.json to pair with")
    parser.add_argument("extra", nargs="*", help="further options of fatwood train, after --")
    options = parser.parse_args()
    out = pathlib.Path(options.out)
    runs = json.loads(out.with_suffix(".json").read_text()) if out.with_suffix(".json").exists() else []
    for model in options.models.split(","):
        for seed in map(int, options.seeds.split(",")):
            if any(run["model"] == model and run["seed"] == seed for run in runs):
                continue
            run = train(options.program, model, seed, options.epochs, options.extra)
            runs.append(run)
            print(model, seed, run["eval_accuracy"], f"{sum(run['train_s']):.0f} s", flush=True)
            out.parent.mkdir(parents=True, exist_ok=True)
            temporary = out.with_suffix(".json.tmp")
            temporary.write_text(json.dumps(runs, indent=1) + "\n")
            os.replace(temporary, out.with_suffix(".json"))
    text = table(runs, options.epochs)
    if options.beside:
        text += f"\nFinal accuracy less that of {options.beside.name}, paired by seed:\n\n"
        text += paired(runs, json.loads(options.beside.read_text()))
    out.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
