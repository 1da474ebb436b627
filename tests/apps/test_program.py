"""The program from outside: its tables, its run folder, and what it says to bad input.

Real training runs here are on a small data set in FashionMNIST's format, made by `tiny_mnist`.
"""
import contextlib, gzip, json, os, pathlib, re, signal, socket, struct, subprocess, time

import pytest

from program import PROGRAM, WAIT_SECONDS, fatwood, refused

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def test_version_names_itself_libtorch_instruction_set_and_threads():
    lines = fatwood("--version").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["fatwood", "LibTorch", "instruction", "threads"]


def test_models_lists_every_network_with_its_parameters():
    rows = {line.split()[0]: line.split()[1] for line in fatwood("models").stdout.splitlines()[1:]}
    assert rows == {
        "cnn": "30,412",
        "deeper_cnn": "110,156",
        "residual_cnn": "321,438",
        "double_conv_cnn": "309,012",
        "resnet18": "11,175,370",
    }


def test_summary_compat_ends_with_the_pages_total():
    result = fatwood("summary", "--model", "residual_cnn", "--compat")
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "| Total | | | 321,438 | |"


def test_summary_has_the_pages_shorter_table_and_other_outputs():
    lines = fatwood("summary", "--model", "cnn", "--shapes", "--num-classes", 7).stdout.splitlines()
    assert lines[0] == "| Type | Input | Output | N. params |"
    assert lines[2] == "| Conv | (512, 1, 28, 28) | (8, 14, 14) | 216 |"
    assert lines[6] == "| Conv | (512, 64, 2, 2) | (7, 1, 1) | 4,046 |"  # 7 · (64 · 9) weights, and a norm's 14


def test_summary_plan_says_what_runs_each_layer_and_why():
    lines = fatwood("summary", "--model", "resnet18", "--plan").stdout.splitlines()
    assert lines[0] == "| Layer | Type | Runs on | With, or why |"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [row[0] for row in rows] == ["stem", *(f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1)), "fc"]
    assert all(row[2].startswith("kernels, ") for row in rows)
    assert "conv 7×7/2 1 → 64, norm, relu on load" in rows[0][3] and "max pool" in rows[0][3]
    assert "conv by its middle tap 512 → 512" in rows[8][3]
    alone = fatwood("summary", "--model", "residual_cnn", "--plan", "--batch-size", 1).stdout
    assert "| LibTorch | LibTorch is faster: a batch of 1 fills" in alone


def test_an_instruction_set_is_chosen_by_name(tiny_mnist, tmp_path):
    chosen = fatwood("--version").stdout.splitlines()[2]
    here = re.fullmatch(r"instruction set (\w+) \(here: ([\w, ]+)\)", chosen)
    assert here[2].split(", ")[0] == "portable" and here[1] == here[2].split(", ")[-1]
    plan = fatwood("summary", "--plan", "--isa", "portable", env={**os.environ, "FATWOOD_ISA": here[1]}).stdout
    assert plan.count("kernels, portable") == 6
    run = tmp_path / "run"
    assert fatwood("train", "--model", "cnn", "--epochs", 1, "--batch-size", 32, "--data", tiny_mnist, "--output", run, "--isa", "portable").returncode == 0
    assert json.loads((run / "args.json").read_text())["machine"]["isa"] == "portable"
    refused(fatwood("train", "--isa", "mmx"), 2, "--isa", '"mmx"', "portable, avx2")
    newest = max((run / "checkpoints").iterdir())
    same = fatwood("train", "--resume", newest)
    assert same.returncode == 0 and "NOT EXACT" not in same.stderr, same.stderr
    by_variable = fatwood("train", "--resume", newest, env={**os.environ, "FATWOOD_ISA": here[1]})
    assert here[1] == "portable" or "NOT EXACT" in by_variable.stderr
    other = fatwood("train", "--resume", newest, "--isa", here[1])
    assert other.returncode == 0, other.stderr
    assert here[1] == "portable" or f"NOT EXACT: the resumed run will differ from an uninterrupted one: isa {here[1]}, the checkpoint was made with portable" in other.stderr


def test_a_run_saves_by_the_clock_and_records_that_it_is_deterministic(tiny_mnist, tmp_path):
    run = tmp_path / "run"
    args = ["train", "--model", "cnn", "--epochs", 1, "--batch-size", 16, "--data", tiny_mnist, "--keep", 50, "--no-plot"]
    assert fatwood(*args, "--output", run, "--checkpoint-minutes", 1e-9, "--deterministic").returncode == 0
    assert json.loads((run / "args.json").read_text())["options"]["deterministic"] is True
    assert len(list((run / "checkpoints").glob("step-*"))) >= 2
    assert fatwood(*args, "--output", tmp_path / "other", "--checkpoint-minutes", 0).returncode == 0
    assert len(list((tmp_path / "other" / "checkpoints").glob("step-*"))) == 1


def test_a_path_that_the_record_cannot_hold_is_refused_before_anything_is_made(tmp_path):
    run = tmp_path / "run"
    for option in ("--data", "--initial-checkpoint", "--tuning"):
        result = subprocess.run([PROGRAM, "train", option, b"da\xffta", "--output", run], cwd=tmp_path, capture_output=True, text=True, timeout=WAIT_SECONDS)
        refused(result, 2, option, "UTF-8", r"da\xffta")
        assert not run.exists()


def test_summary_plan_says_what_runs_in_bf16_and_what_stays_f32():
    lines = fatwood("summary", "--model", "residual_cnn", "--plan", "--amp", "bf16").stdout.splitlines()
    assert len(lines) == 8 and all("| bf16: conv " in line for line in lines[2:])
    lines = fatwood("summary", "--model", "resnet18", "--plan", "--amp", "bf16").stdout.splitlines()
    assert all("| f32, having no bf16 kernels: " in line for line in lines[2:])


def test_bf16_is_trained_with_recorded_and_refused_where_no_kernels_have_it(tiny_mnist, tmp_path):
    small = ["--model", "cnn", "--epochs", 1, "--batch-size", 32, "--data", tiny_mnist]
    run = tmp_path / "run"
    assert fatwood("train", *small, "--amp", "bf16", "--output", run).returncode == 0
    assert json.loads((run / "args.json").read_text())["options"]["amp"] == "bf16"
    emulated = fatwood("train", *small, "--amp", "bf16", "--output", tmp_path / "emulated", env={**os.environ, "FATWOOD_ISA": "portable"})
    assert emulated.returncode == 0 and emulated.stderr.count("--amp bf16 is emulated and slower than f32: found the instruction set portable") == 1
    refused(fatwood("train", *small, "--engine", "torch", "--amp", "bf16", "--output", tmp_path / "torch"), 2, "--amp bf16", "--engine torch", "--engine fused")
    refused(fatwood("train", *small, "--engine", "fused", "--amp", "fp16"), 2, "--amp", "fp16", "none or bf16")
    assert not (tmp_path / "torch").exists()


@pytest.mark.parametrize("engine", ["torch", "fused"])
def test_a_last_batch_that_no_norm_can_take_is_refused_before_the_first_epoch(engine, tiny_mnist, tmp_path):
    run = tmp_path / "run"
    result = fatwood("train", "--model", "cnn", "--batch-size", 13, "--engine", engine, "--data", tiny_mnist, "--output", run)
    refused(result, 3, "batch norm", "1 of 300 samples", "batch size")
    assert not run.exists()


def test_help_teaches_every_command():
    for args in (["--help"], ["train", "--help"], ["lr-find", "--help"], ["summary", "--help"]):
        result = fatwood(*args)
        assert result.returncode == 0 and len(result.stdout.splitlines()) > 8
    assert "Examples:" in fatwood("--help").stdout


def test_train_leaves_a_run_folder_and_prints_the_table(tiny_mnist, tmp_path):
    run = tmp_path / "run"
    result = fatwood("train", "--model", "cnn", "--epochs", 2, "--batch-size", 64, "--data", tiny_mnist, "--output", run)
    assert result.returncode == 0, result.stderr
    table = [line.split() for line in result.stdout.splitlines()]
    assert table[0] == ["MulticlassAccuracy", "loss", "epoch", "train"]
    assert [row[2:] for row in table[1:]] == [["0", "train"], ["0", "eval"], ["1", "train"], ["1", "eval"]]
    assert "\x1b" not in result.stderr + result.stdout
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    assert rows[0]["type"] == "run" and rows[-1]["type"] == "end" and rows[-1]["status"] == "completed"
    assert [row["step"] for row in rows if row["type"] == "batch"] == list(range(10))
    assert sum(row["type"] == "stats" for row in rows) == 10
    args = json.loads((run / "args.json").read_text())
    assert args["options"]["batch-size"] == 64 and args["data"]["train"] == 300
    assert len((run / "summary.csv").read_text().splitlines()) == 3
    assert not list(run.glob("*.tmp*"))


def test_the_same_seed_gives_the_same_weights_and_rows(tiny_mnist, tmp_path):
    runs = []
    for name in "ab":
        run = tmp_path / name
        assert fatwood("train", "--model", "residual_cnn", "--epochs", 1, "--batch-size", 50, "--data", tiny_mnist, "--output", run).returncode == 0
        rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
        for row in rows:
            row.pop("timing", None)
        runs.append((rows, (run / "model.safetensors").read_bytes()))
    assert runs[0] == runs[1]


def test_holdout_leaves_the_test_images_alone(tiny_mnist, tmp_path):
    fatwood("train", "--model", "cnn", "--epochs", 1, "--batch-size", 64, "--holdout", 0.2, "--data", tiny_mnist, "--output", tmp_path / "r")
    args = json.loads((tmp_path / "r" / "args.json").read_text())
    assert (args["data"]["train"], args["data"]["eval"]) == (240, 60)


def test_a_result_that_cannot_be_printed_is_an_error():
    with open("/dev/full", "w") as full:
        result = subprocess.run([PROGRAM, "summary", "--model", "cnn"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=WAIT_SECONDS)
    refused(result, 5, "standard output", "No space left on device")


def test_an_option_without_effect_is_said(tiny_mnist, tmp_path):
    args = ["--model", "cnn", "--epochs", 1, "--data", tiny_mnist]
    result = fatwood("train", *args, "--opt", "sgd", "--momentum", 0.5, "--output", tmp_path / "a")
    assert result.returncode == 0 and "--momentum has no effect: --sched onecycle cycles" in result.stderr
    result = fatwood("train", *args, "--opt", "sgd", "--sched", "constant", "--momentum", 0.5, "--output", tmp_path / "b")
    assert result.returncode == 0 and "has no effect" not in result.stderr


def test_options_come_from_a_file_and_the_command_line_wins(tiny_mnist, tmp_path):
    config = tmp_path / "options.ini"
    config.write_text("model = cnn\nepochs = 1\nbatch-size = 100\nlr = 0.5\n")
    run = tmp_path / "r"
    assert fatwood("train", "--config", config, "--lr", 0.003, "--data", tiny_mnist, "--output", run).returncode == 0
    options = json.loads((run / "args.json").read_text())["options"]
    assert (options["batch-size"], options["lr"]) == (100, 0.003)
    config.write_text("model = cnn\nepochs = 1\nnfs = 2,2\n")
    run = tmp_path / "last_list"
    assert fatwood("train", "--config", config, "--nfs", "3,3,3", "--nfs=2,4,4,8", "--data", tiny_mnist, "--output", run).returncode == 0
    assert json.loads((run / "args.json").read_text())["options"]["nfs"] == [2, 4, 4, 8]
    for number, (lines, nfs) in enumerate([("nfs = 2,2,2,2\nnfs = 2,4,4,8\n", [2, 4, 4, 8]), ("nfs = [2,2,  # widths\n2,2]\nnfs = [2,4,\n  4,8 ]\n", [2, 4, 4, 8])]):
        config.write_text("model = cnn\nepochs = 2\nepochs = 1\nno-shuffle = true\nno-shuffle\ndeterministic = true\ndeterministic = false\n" + lines)
        run = tmp_path / f"later_line_{number}"
        result = fatwood("train", "--config", config, "--data", tiny_mnist, "--output", run)
        assert result.returncode == 0, result.stderr
        options = json.loads((run / "args.json").read_text())["options"]
        assert (options["nfs"], options["epochs"], options["shuffle"], options["deterministic"]) == (nfs, 1, False, False)
    config.write_text("nfs = [2,4,4,80\n")
    refused(fatwood("train", "--config", config, "--model", "cnn", "--data", tiny_mnist), 2, config, "wanted its ]")
    config.write_text('data = "/no where"\n')
    refused(fatwood("train", "--config", config), 3, "/no where")
    config.write_text("lr =\ndata = /nowhere\n")
    refused(fatwood("train", "--config", config), 2, config, "lr has no value")


def test_a_run_that_is_there_is_refused_and_left_alone(tiny_mnist, tmp_path):
    run = tmp_path / "r"
    args = ("train", "--model", "cnn", "--epochs", 1, "--data", tiny_mnist, "--output", run)
    assert fatwood(*args).returncode == 0
    before = (run / "rows.jsonl").read_bytes()
    refused(fatwood(*args), 2, "holds a run")
    assert (run / "rows.jsonl").read_bytes() == before
    assert fatwood(*args, "--overwrite").returncode == 0


def test_train_leaves_predictions_of_the_last_evaluation(tiny_mnist, tmp_path):
    run = tmp_path / "run"
    result = fatwood("train", "--model", "cnn", "--epochs", 2, "--batch-size", 64, "--init", "lsuv", "--data", tiny_mnist, "--output", run)
    assert result.returncode == 0 and "layers changed" in result.stderr, result.stderr
    predictions = json.loads((run / "predictions.json").read_text())
    assert predictions["samples"] == sum(map(sum, predictions["confusion"])) == 70
    assert (predictions["epoch"], predictions["step"]) == (1, 10)
    assert predictions["classes"][9] == "Ankle boot" and len(predictions["worst"]) == 16
    assert fatwood("plot", run, "--what", "confusion", "-o", tmp_path / "confusion.vl.json").returncode == 0
    assert fatwood("plot", run, "--what", "worst", "-o", tmp_path / "worst.vl.json").returncode == 0


def test_lr_find_suggests_rates_and_writes_what_plot_draws(tiny_mnist, tmp_path):
    found = tmp_path / "found.json"
    result = fatwood("lr-find", "--model", "cnn", "--batch-size", 64, "--data", tiny_mnist, "--output", found)
    assert result.returncode == 0, result.stderr
    table = [line.split() for line in result.stdout.splitlines()]
    assert table[0] == ["Suggestion", "Learning", "rate", "Loss", "there"]
    assert [row[0] for row in table[1:]] == ["steepest", "valley"]
    assert "batches; the loss is" in result.stderr and "\x1b" not in result.stderr
    json_found = json.loads(found.read_text())
    assert json_found["lr"][0] == 1e-5 and len(json_found["lr"]) == len(json_found["loss"])
    for row in table[1:]:
        assert float(row[1]) == pytest.approx(json_found["suggestions"][row[0]], rel=1e-3)
    assert fatwood("plot", found, "--what", "lr-find", "-o", tmp_path / "plot.vl.json").returncode == 0
    assert "Learning-rate finder" in (tmp_path / "plot.vl.json").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.json", "plot.vl.json"]


def test_lr_find_shows_in_the_report_of_a_run_that_it_was_written_to(tiny_mnist, tmp_path):
    run = tmp_path / "run"
    assert fatwood("train", "--model", "cnn", "--epochs", 1, "--data", tiny_mnist, "--output", run).returncode == 0
    assert fatwood("lr-find", "--model", "cnn", "--batch-size", 64, "--data", tiny_mnist, "--output", run / "lr_find.json").returncode == 0
    assert fatwood("report", run, "-o", tmp_path / "report.html").returncode == 0
    text = (tmp_path / "report.html").read_text()
    assert 'id="lr-find"' in text and 'id="confusion"' in text


def test_lr_find_says_when_nothing_can_be_suggested(tiny_mnist):
    result = fatwood("lr-find", "--model", "cnn", "--end-lr", 1e-4, "--factor", 2, "--data", tiny_mnist)
    assert result.returncode == 0 and "no suggestion" in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_lr_find_refuses_a_file_that_is_there(tiny_mnist, tmp_path):
    found = tmp_path / "found.json"
    found.write_text("mine")
    args = ("lr-find", "--model", "cnn", "--end-lr", 1e-4, "--data", tiny_mnist, "--output", found)
    refused(fatwood(*args), 2, "found.json", "--overwrite")
    assert found.read_text() == "mine"
    assert fatwood(*args, "--overwrite").returncode == 0
    assert json.loads(found.read_text())["lr"]


@pytest.mark.parametrize("args, code, words", [
    (["--colour", "red"], 2, ["--colour"]),
    (["--lr", "0.1"], 2, ["--lr"]),
    (["--start-lr", "nan"], 2, ["start_lr", "nan"]),
    (["--start-lr", "-1"], 2, ["start_lr", "-1"]),
    (["--end-lr", "1e-9"], 2, ["end_lr", "1e-09", "1e-05"]),
    (["--factor", "1"], 2, ["factor"]),
    (["--factor", "fast"], 2, ["--factor"]),
    (["--stop-at", "0.5"], 2, ["stop_at"]),
    (["--model", "alexnet"], 2, ["alexnet"]),
    (["--batch-size", "0"], 2, ["lr_find", "--batch-size 0"]),
    (["--nfs", "4,4"], 4, ["wanted"]),
    (["--output", "/nowhere/found.json"], 5, ["/nowhere"]),
    (["--output", "/tmp"], 2, ["/tmp", "folder"]),
    (["--initial-checkpoint", "/nowhere/model.safetensors"], 5, ["/nowhere/model.safetensors"]),
])
def test_bad_arguments_of_lr_find_get_one_clear_error(args, code, words, tiny_mnist):
    refused(fatwood("lr-find", "--data", tiny_mnist, *args), code, *words)


def test_lr_find_names_data_that_is_not_there(tmp_path):
    refused(fatwood("lr-find", "--data", tmp_path), 3, str(tmp_path), FILES[0])


def test_a_signal_ends_a_sweep_and_keeps_what_it_has(tiny_mnist, tmp_path):
    found = tmp_path / "found.json"
    process = subprocess.Popen(
        [PROGRAM, "lr-find", "--model", "residual_cnn", "--factor", "1.0003", "--stop-at", "1e9", "--data", str(tiny_mnist), "--output", str(found)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "residual_cnn" in process.stderr.readline()  # said when the data are read and the model is made
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130, stderr
    assert json.loads(found.read_text())["ended"] == "the sweep was interrupted"


@pytest.mark.parametrize("signal_sent, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_run_after_the_step_and_keeps_the_rows(tiny_mnist, tmp_path, signal_sent, code):
    run = tmp_path / "r"
    process = subprocess.Popen(
        [PROGRAM, "train", "--model", "cnn", "--epochs", "5000", "--data", str(tiny_mnist), "--output", str(run)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.time() + WAIT_SECONDS
    while time.time() < deadline:
        if (run / "rows.jsonl").exists() and (run / "rows.jsonl").read_text().count('"batch"') > 5:
            break
        time.sleep(0.05)
    process.send_signal(signal_sent)
    stdout, stderr = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == code, stderr
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    assert rows[-1]["type"] == "end" and rows[-1]["status"] == "interrupted"
    assert [row["step"] for row in rows if row["type"] == "batch"][-1] + 1 == rows[-1]["step"]
    assert (run / "model.safetensors").exists()
    assert stdout.startswith("MulticlassAccuracy")


@contextlib.contextmanager
def half_a_download():
    """The address of a server that begins an answer and says no more, and the socket."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT_SECONDS)
        yield f"http://127.0.0.1:{server.getsockname()[1]}", server


def without_package(command):
    """The command where Debian's package of the data is hidden from it."""
    package = pathlib.Path("/usr/share/datasets/fashion-mnist")
    if not package.exists():
        return command
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
        pytest.skip("dataset-fashion-mnist is installed, and hiding it needs root and CAP_SYS_ADMIN")
    return ["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {package} && exec "$@"', "sh", *command]


@pytest.mark.parametrize("command, signal_sent, code", [("train", signal.SIGINT, 130), ("train", signal.SIGTERM, 143), ("lr-find", signal.SIGINT, 130), ("reproduce", signal.SIGINT, 130)])
def test_a_signal_ends_a_download_at_once_and_leaves_nothing_behind(tmp_path, command, signal_sent, code):
    output = tmp_path / "output"
    with half_a_download() as (url, server):
        env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "FATWOOD_FASHION_MNIST_URL": url}
        process = subprocess.Popen(without_package([PROGRAM, command, "--output", str(output)]), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 26421880\r\n\r\n" + bytes(100_000))
            sent = time.monotonic()
            process.send_signal(signal_sent)
            _, stderr = process.communicate(timeout=WAIT_SECONDS)
            assert time.monotonic() - sent < 15  # curl itself would give up after 30 seconds
    assert process.returncode == code, stderr
    assert " error: " not in stderr and ("stopped;" if command == "reproduce" else "interrupted: the download") in stderr
    assert not output.exists() and list((tmp_path / "cache/fatwood/fashion-mnist").iterdir()) == []


def test_a_diverging_run_stops_with_its_own_code(tiny_mnist, tmp_path):
    result = fatwood("train", "--model", "cnn", "--opt", "sgd", "--sched", "constant", "--lr", 1e30, "--epochs", 3, "--batch-size", 64, "--data", tiny_mnist, "--output", tmp_path / "r")
    assert result.returncode == 6, result.stderr
    assert "diverged:" in result.stderr and "step" in result.stderr


@pytest.mark.parametrize("args, code, words", [
    ([], 2, ["subcommand"]),
    (["fly"], 2, ["fly"]),
    (["train", "--colour", "red"], 2, ["--colour"]),
    (["train", "--model", "alexnet"], 2, ["alexnet", "residual_cnn"]),
    (["train", "--lr", "nan"], 2, ["--lr", "nan"]),
    (["train", "--lr", "-0.1"], 2, ["--lr", "-0.1"]),
    (["train", "--lr", "fast"], 2, ["--lr"]),
    (["train", "--epochs", "0"], 2, ["--epochs", "0"]),
    (["train", "--batch-size", "0"], 2, ["--batch-size", "0"]),
    (["train", "--batch-size", "9999999999999999999999"], 2, ["--batch-size"]),
    (["train", "--holdout", "1"], 2, ["--holdout"]),
    (["train", "--stats", "some"], 2, ["--stats"]),
    (["train", "--opt", "lion"], 2, ["--opt", "adamw"]),
    (["train", "--init", "random"], 2, ["--init", "random", "lsuv"]),
    (["train", "--init", "lsuv", "--initial-checkpoint", "model.safetensors"], 2, ["--init", "--initial-checkpoint"]),
    (["train", "--config", "/nowhere/options.ini"], 2, ["options.ini"]),
    (["train", "--config", "a.ini", "--config=b.ini"], 2, ["two files of options"]),
    (["summary", "--input", "1x28"], 2, ["1x28", "CxHxW"]),
    (["summary", "--input", "1x64x64", "--model", "cnn"], 4, ["(512, 10, 2, 2)", "wanted"]),
    (["summary", "--nfs", "0"], 4, ["channels"]),
])
def test_bad_arguments_get_one_clear_error(args, code, words):
    refused(fatwood(*args), code, *words)


@pytest.mark.parametrize("args, code, words", [
    (["--device", "cuda"], 2, ["cuda"]),
    (["--output", "/proc/fatwood"], 5, ["/proc/fatwood"]),
    (["--nfs", "4,4,4,4,4,4,4"], 0, []),
    (["--nfs", "4,4"], 4, ["wanted"]),
    (["--initial-checkpoint", "/nowhere/model.safetensors"], 5, ["/nowhere/model.safetensors"]),
])
def test_bad_surroundings_get_one_clear_error_and_leave_nothing(args, code, words, tiny_mnist, tmp_path):
    output = [] if "--output" in args else ["--output", tmp_path / "r"]
    result = fatwood("train", "--model", "cnn", "--epochs", 1, "--data", tiny_mnist, *output, *args)
    if code == 0:
        assert result.returncode == 0, result.stderr
        return
    if "cuda" in words and result.returncode == 0:
        pytest.skip("this machine has a CUDA device")
    refused(result, code, *words)
    assert not (tmp_path / "r").exists()


def damage(name, change):
    def apply(folder):
        path = folder / f"{name}.gz"
        path.write_bytes(change(path.read_bytes()))
    return apply


def regzip(change):
    return lambda packed: gzip.compress(change(gzip.decompress(packed)))


@pytest.mark.parametrize("name, change, words", [
    (FILES[0], lambda b: b[: len(b) // 2], []),
    (FILES[0], lambda b: b"<!DOCTYPE html><html>Not found</html>", ["HTML"]),
    (FILES[0], lambda b: b"", []),
    (FILES[0], regzip(lambda b: b"\x00\x00\x08\x01" + b[4:]), ["0x00000801", "0x00000803"]),
    (FILES[0], regzip(lambda b: b[:-100]), []),
    (FILES[0], regzip(lambda b: b[:4] + b"\x7f\xff\xff\xff" + b[8:]), []),
    (FILES[1], regzip(lambda b: b[:4] + struct.pack(">I", 299) + b[8:-1]), ["299", "300"]),
    (FILES[1], regzip(lambda b: b[:-1] + b"\x0a"), ["10"]),
    (FILES[3], lambda b: b[:-8], []),
])
def test_damaged_data_gets_one_clear_error_and_leaves_nothing(name, change, words, tiny_mnist, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for file in FILES:
        (folder / f"{file}.gz").write_bytes((tiny_mnist / f"{file}.gz").read_bytes())
    damage(name, change)(folder)
    result = fatwood("train", "--epochs", 1, "--data", folder, "--output", tmp_path / "r")
    refused(result, 3, name, *words)
    assert not (tmp_path / "r").exists()


def test_a_data_folder_that_lacks_files_is_named_with_them(tmp_path):
    refused(fatwood("train", "--data", tmp_path, "--output", tmp_path / "r"), 3, str(tmp_path), FILES[0])
    assert not (tmp_path / "r").exists()


def test_progress_is_drawn_on_a_terminal_and_no_color_is_honoured(tiny_mnist, tmp_path):
    import pty
    for colour, environment in ((True, {}), (False, {"NO_COLOR": "1"})):
        main, end = pty.openpty()
        process = subprocess.Popen(
            [PROGRAM, "train", "--model", "cnn", "--epochs", "1", "--batch-size", "32", "--data", str(tiny_mnist),
             "--output", str(tmp_path / f"r{colour}")],
            stdout=subprocess.PIPE, stderr=end, env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **environment})
        os.close(end)
        drawn = b""
        while True:
            try:
                chunk = os.read(main, 65536)
            except OSError:
                break
            if not chunk:
                break
            drawn += chunk
        process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0
        assert b"[10/10" in drawn or b"/10" in drawn
        assert (b"\x1b[3" in drawn) == colour
