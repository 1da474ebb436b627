"""`fatwood reproduce` from outside, on images of 4×4 in FashionMNIST's format: as many batches as the page's
interrupted run needs, in seconds."""
import fcntl, gzip, json, os, pathlib, re, shutil, signal, subprocess, time

import numpy
import pytest

from program import PROGRAM, WAIT_SECONDS, fatwood, refused, rows_of
from tiny_data import idx

PAGE_RUNS = ["deeper_cnn", "residual_cnn", "resnet18", "double_conv_cnn"]


@pytest.fixture(scope="module")
def small_images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    random = numpy.random.default_rng(0)
    for part, count in (("train", 95 * 512), ("t10k", 512)):
        labels = random.integers(0, 10, count, dtype=numpy.uint8)
        images = random.integers(0, 60, (count, 16), dtype=numpy.uint8)
        images[numpy.arange(count), labels] = 250  # a bright pixel whose place tells the class
        for kind, array in (("images-idx3", images.reshape(count, 4, 4)), ("labels-idx1", labels)):
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array), 1))
    return folder


@pytest.fixture(scope="module")
def reproduced(small_images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "page"
    result = fatwood("reproduce", "--quick", "--threads", 2, "--data", small_images, "--output", folder)
    assert result.returncode == 0, result.stderr
    return folder, result


def copy_of(reproduced, tmp_path, without=()):
    """The reproduced folder without the runs of some networks."""
    folder = tmp_path / "page"
    left_out = shutil.ignore_patterns("checkpoints", *(f"{model}-42" for model in without))
    shutil.copytree(reproduced[0], folder, ignore=left_out)
    return folder


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_first_run_ends_by_an_interrupt_after_94_batches_and_keeps_its_statistics(reproduced):
    folder, result = reproduced
    assert "interrupted after 94 of 95 batches; statistics of 94 kept" in result.stdout
    rows = rows_of(folder / "cnn-42")
    assert sum(row["type"] == "batch" for row in rows) == 94
    assert sum(row["type"] == "stats" for row in rows) == 94
    assert rows[-1]["type"] == "end" and rows[-1]["status"] == "interrupted"


def test_every_network_of_the_page_is_trained_and_held_against_it(reproduced):
    folder, _ = reproduced
    record = json.loads((folder / "reproduce.json").read_text())
    assert [run["model"] for run in record["runs"]] == PAGE_RUNS
    for run in record["runs"]:
        assert run["seeds"] == [42]
        summary = (folder / f"{run['model']}-42" / "summary.csv").read_text().splitlines()
        names, values = summary[0].split(","), [float(value) for value in summary[1].split(",")]
        ours = dict(zip(names, values))
        for row in run["rows"]:
            assert row["epoch"] == 0  # quick: the others were not reached
            assert row["accuracy"]["mean"] == ours[f"{row['mode']}_accuracy"]
            assert row["loss"]["mean"] == ours[f"{row['mode']}_loss"]
    assert record["runs"][0]["rows"][1]["accuracy"]["page"] == 0.818


def test_tables_of_the_page_are_printed_and_equal(reproduced):
    _, result = reproduced
    assert result.stdout.count("equal to the page's table") == 3
    assert "N. parameters: 11,175,370" in result.stdout
    assert "verdict" not in result.stdout.lower()  # one epoch is nothing to judge


def test_the_report_holds_all_runs_beside_the_page(reproduced):
    folder, _ = reproduced
    page = (folder / "report.html").read_text()
    assert "Beside the page" in page
    for model in ["cnn", *PAGE_RUNS]:
        assert f"<strong>{model}-42</strong>" in page
    assert "one epoch each" in (folder / "reproduce.md").read_text()


def test_a_second_call_keeps_what_is_finished_and_runs_what_is_missing(reproduced, small_images, tmp_path):
    folder = copy_of(reproduced, tmp_path, without=["deeper_cnn"])
    before = {model: (folder / f"{model}-42" / "rows.jsonl").read_bytes() for model in PAGE_RUNS[1:]}
    again = fatwood("reproduce", "--quick", "--threads", 2, "--data", small_images, "--output", folder)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("finished before, kept") == 3
    assert (folder / "deeper_cnn-42" / "model.safetensors").exists()
    assert before == {model: (folder / f"{model}-42" / "rows.jsonl").read_bytes() for model in PAGE_RUNS[1:]}


def test_a_run_that_the_user_interrupted_is_not_taken_for_the_pages(reproduced, small_images, tmp_path):
    """Its rows are those of a Ctrl-C at batch 30, so that no test has to hit that batch."""
    folder = copy_of(reproduced, tmp_path)
    run = folder / "cnn-42"
    rows = [row for row in rows_of(run) if row["type"] == "end" or row.get("step", 0) < 30]
    rows[-1]["step"] = 30
    (run / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    again = fatwood("reproduce", "--quick", "--threads", 2, "--data", small_images, "--output", folder)
    assert again.returncode == 0, again.stderr
    assert "interrupted after 94 of 95 batches; statistics of 94 kept" in again.stdout
    assert rows_of(run)[-1]["status"] == "interrupted" and rows_of(run)[-1]["step"] == 94
    assert again.stderr.count("finished before, kept") == 4


@pytest.mark.parametrize("left", [["cnn", *PAGE_RUNS], PAGE_RUNS[-1:]], ids=["every run", "the last run"])
def test_a_folder_whose_runs_have_other_options_is_refused_and_left_alone(left, reproduced, small_images, tmp_path):
    folder = copy_of(reproduced, tmp_path, without={"cnn", *PAGE_RUNS} - set(left))
    before = files_of(folder)
    result = fatwood("reproduce", "--data", small_images, "--output", folder)
    refused(result, 2, "[reproduce]", f"{left[0]}-42", "--epochs 1", "wanted 3", "--output")
    assert files_of(folder) == before


def lock_step_pipe():
    """Both ends of a pipe with room for one write: who writes is at most one ahead of who reads."""
    read, write = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    return read, write


def send(process, number):
    """Sends a signal and waits until the process has taken it."""
    process.send_signal(number)
    deadline = time.time() + WAIT_SECONDS
    while time.time() < deadline and process.poll() is None:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        pending = int(re.search(r"ShdPnd:\s*(\w+)", status)[1], 16)
        if not pending >> (number - 1) & 1:
            return
        time.sleep(0.002)


@pytest.mark.parametrize("missing", [["residual_cnn"], ["deeper_cnn", "residual_cnn"]], ids=["behind a kept run", "behind a run"])
def test_ctrl_c_between_two_runs_stops_before_the_second(missing, reproduced, small_images, tmp_path):
    """When deeper_cnn's summary is printed, and so LibTorch's threads have been started, two writes before the run of
    residual_cnn would begin."""
    folder = copy_of(reproduced, tmp_path, without=missing)
    record = (folder / "reproduce.json").read_bytes()
    args = ["reproduce", "--quick", "--threads", "2", "--data", small_images, "--output", folder]
    read, write = lock_step_pipe()
    with open(tmp_path / "stderr", "w") as log:
        process = subprocess.Popen([PROGRAM, *args], stdout=write, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "2"})
    os.close(write)
    printed = b""
    while piece := os.read(read, 1 << 16):
        if b"| Total |" in piece and b"| Total |" not in printed:
            send(process, signal.SIGINT)
        printed += piece
    os.close(read)
    stderr = (tmp_path / "stderr").read_text()
    assert process.wait(timeout=WAIT_SECONDS) == 130, stderr
    assert printed.count(b"equal to the page's table") == 1
    assert "the same call with --output" in stderr
    assert not (folder / "residual_cnn-42").exists()
    assert (folder / "reproduce.json").read_bytes() == record


@pytest.mark.parametrize("args,words", [
    (["--seeds", "0"], ["--seeds 0", "wanted 1 or more"]),
    (["--engine", "warp"], ["warp", "torch or fused"]),
    (["--threads", "-1"], ["--threads -1"]),
])
def test_bad_options_get_one_clear_error_and_leave_nothing(args, words, tmp_path):
    refused(fatwood("reproduce", *args, "--output", tmp_path / "page"), 2, *words)
    assert not (tmp_path / "page").exists()


def test_data_that_cannot_be_read_leave_no_folder(tmp_path):
    refused(fatwood("reproduce", "--data", tmp_path, "--output", tmp_path / "page"), 3, "[fashion_mnist]", "lacks")
    assert not any(tmp_path.iterdir())


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    refused(fatwood("reproduce", "--output", tmp_path), 2, "[reproduce]", "holds other files")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
