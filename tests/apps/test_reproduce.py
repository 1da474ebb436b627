"""`fatwood reproduce` from outside, on images of 4×4 in FashionMNIST's format: as many batches as the page's
interrupted run needs, in seconds."""
import gzip, json, shutil

import numpy
import pytest

from program import fatwood, refused
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


def test_the_first_run_ends_by_an_interrupt_after_94_batches_and_keeps_its_statistics(reproduced):
    folder, result = reproduced
    assert "interrupted after 94 of 95 batches; statistics of 94 kept" in result.stdout
    rows = [json.loads(line) for line in (folder / "cnn-42" / "rows.jsonl").read_text().splitlines()]
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
    folder = tmp_path / "page"
    shutil.copytree(reproduced[0], folder)
    shutil.rmtree(folder / "deeper_cnn-42")
    before = {model: (folder / f"{model}-42" / "rows.jsonl").read_bytes() for model in PAGE_RUNS[1:]}
    again = fatwood("reproduce", "--quick", "--threads", 2, "--data", small_images, "--output", folder)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("finished before, kept") == 3
    assert (folder / "deeper_cnn-42" / "model.safetensors").exists()
    assert before == {model: (folder / f"{model}-42" / "rows.jsonl").read_bytes() for model in PAGE_RUNS[1:]}


def test_a_folder_whose_runs_have_other_options_is_refused_and_left_alone(reproduced, small_images):
    folder, _ = reproduced
    before = (folder / "deeper_cnn-42" / "rows.jsonl").read_bytes()
    result = fatwood("reproduce", "--data", small_images, "--output", folder)
    refused(result, 2, "[reproduce]", "--epochs 1", "wanted 3", "--output")
    assert (folder / "deeper_cnn-42" / "rows.jsonl").read_bytes() == before


@pytest.mark.parametrize("args,words", [
    (["--seeds", "0"], ["--seeds 0", "wanted 1 or more"]),
    (["--engine", "warp"], ["warp", "torch or fused"]),
    (["--threads", "-1"], ["--threads -1"]),
])
def test_bad_options_get_one_clear_error_and_leave_nothing(args, words, tmp_path):
    refused(fatwood("reproduce", *args, "--output", tmp_path / "page"), 2, *words)
    assert not (tmp_path / "page").exists()


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    refused(fatwood("reproduce", "--output", tmp_path), 2, "[reproduce]", "holds other files")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
