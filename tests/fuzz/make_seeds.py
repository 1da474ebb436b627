"""make_seeds.py FOLDER: the corpora that the libFuzzer targets start from, FOLDER/TARGET/NAME."""

import json
import pathlib
import random
import sys

import malformed

ROWS = [
    {"type": "run", "format": 1, "model": "cnn", "epochs": 3, "batches": 118, "eval_batches": 20,
     "batch_size": 512, "seed": 42, "layers": [{"name": "layers.0", "kind": "Conv"}],
     "metrics": [{"name": "loss", "unit": "nats", "higher_is_better": False}]},
    {"type": "batch", "step": 0, "epoch": 0, "batch": 0, "size": 512, "loss": 2.51, "lr": 0.0004,
     "momentum": 0.95, "timing": {"elapsed_s": 0.31}},
    {"type": "batch", "mode": "eval", "step": 0, "epoch": 0, "batch": 0, "loss": "nan"},
    {"type": "stats", "step": 0, "epoch": 0, "mode": "train", "mean": [0.1, "inf"],
     "std": [1, "-inf"], "hist": [[1, 2], [3]]},
    {"type": "epoch", "epoch": 0, "mode": "eval", "step": 118, "size": 60000,
     "metrics": {"accuracy": 0.8}, "lr": 0.009, "timing": {"duration_s": 9.1, "elapsed_s": 9.4}},
    {"type": "event", "step": 94, "what": "note", "reason": "r"},
    {"type": "end", "status": "completed", "reason": "", "step": 354,
     "timing": {"elapsed_s": 31.2}},
]


# In the order of fuzz_run.cpp.
RUN_FILES = [
    json.dumps({"format": 1, "fatwood": "0.1.0", "libtorch": "2.13.0", "machine": {"cpu": "c", "threads": 2},
                "options": {"model": "cnn", "nfs": [2, 4]}, "data": {"name": "d", "classes": ["a", "b"]},
                "timing": {"started": "2026-01-01T00:00:00Z"}}),
    json.dumps({"layers": [{"name": "layers.0", "kind": "Conv", "input": [4, 1, 8, 8], "output": [4, 2, 4, 4], "params": 20,
                            "macs": 288, "activation_bytes": 512}], "params_total": 20, "macs_total": 288}),
    json.dumps({"classes": ["a", "b"], "confusion": [[3, 1], [0, 4]],
                "worst": [{"index": 7, "label": 0, "predicted": 1, "probability": 0.9, "loss": None, "shape": [1, 2, 2],
                           "pixels": "AAECAw=="}], "best": []}),
    json.dumps({"lr": [1e-4, 1e-3, 1e-2], "loss": [2.3, 2.1, None], "suggestions": {"steepest": 1e-3, "valley": 2e-4}}),
    "".join(json.dumps(row) + "\n" for row in ROWS),
]

CONFIGS = [
    "lr = 0.01\nepochs = 5\n", "# a comment\nmodel = \"residual_cnn\"\nnfs = [8, 16, 32]\n", "no-plot = true\ntensorboard = false\n",
    "[train]\nlr = 1\n", "lr=\n", "output = 'a b'\r\n; another comment\n", "a.b.c = 1\n[[x]]\ny = \"\"\"z\nz\"\"\"\n", "lr = 'unfinished\n",
]


def seeds():
    random_ = random.Random(1)
    for text in CONFIGS:
        yield "fuzz_config", text.encode()
    for i in range(20):
        dimensions = 1 + i % 4
        yield "fuzz_idx", bytes([dimensions - 1]) + malformed.idx_file(random_, dimensions)
        yield "fuzz_gzip", malformed.gzip_member(random_)
        header, data = malformed.safetensors_parts(random_)
        whole = malformed.safetensors_file(header, data)
        yield "fuzz_safetensors", whole
        yield "fuzz_safetensors_header", len(data).to_bytes(2, "little") + whole[8:-len(data)]
        yield "fuzz_tuning", malformed.tuning_file(malformed.tuning_table(random_))
        about = {"format": 1, "step": i, "position": {"epoch": i, "pass": "train", "batch": 0}, "callbacks": {"metrics": None}}
        yield "fuzz_checkpoint", malformed.checkpoint_body(random_, about)
    for _, whole in malformed.safetensors_by_hand():
        yield "fuzz_safetensors", whole
        yield "fuzz_safetensors_header", b"\x08\0" + whole[8:]
    for row in ROWS:
        yield "fuzz_rows", json.dumps(row).encode()
    for index, file in enumerate(RUN_FILES):
        for report in (0, 250):  # the second makes a report, too
            yield "fuzz_run", bytes([report + index]) + file.encode()


for index, (target, data) in enumerate(seeds()):
    folder = pathlib.Path(sys.argv[1]) / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(index)).write_bytes(data)
