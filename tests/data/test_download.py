"""The download of FashionMNIST, from a real server on this machine."""

import functools
import http.server
import os
import pathlib
import subprocess
import threading

import pytest

DESCRIBE = os.environ["FATWOOD_DESCRIBE_FASHION_MNIST"]
PACKAGE = pathlib.Path("/usr/share/datasets/fashion-mnist")
NAMES = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
         "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]

needs_package = pytest.mark.skipif(
    not PACKAGE.exists(), reason="needs the package dataset-fashion-mnist")


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        self.server.requests.append(self.path)


@pytest.fixture
def server(tmp_path):
    """Serves tmp_path/served; `server.requests` are the paths asked for."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(Handler, directory=tmp_path / "served")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.requests = []
    server.folder = tmp_path / "served"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def serve_real_files(server):
    for name in NAMES:
        (server.folder / name).symlink_to(PACKAGE / name)


def load(tmp_path, url, **environment):
    variables = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(tmp_path / "cache"),
                 "FATWOOD_FASHION_MNIST_URL": url, **environment}
    return subprocess.run([DESCRIBE, tmp_path / "no-package"], env=variables,
                          capture_output=True, text=True, timeout=120)


def url_of(server):
    return f"http://127.0.0.1:{server.server_address[1]}"


def cached(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache/fatwood/fashion-mnist").iterdir())


def assert_one_error(result, code, *parts):
    assert result.returncode == code, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert part in result.stderr


@needs_package
@pytest.mark.parametrize("program", ["curl", "wget"])
def test_good_files_enter_the_cache_and_are_fetched_once(server, tmp_path, program):
    serve_real_files(server)
    tools = tmp_path / "tools"
    tools.mkdir()
    path = next((pathlib.Path(folder) / program for folder in os.environ["PATH"].split(":")
                 if (pathlib.Path(folder) / program).exists()), None)
    if path is None:
        pytest.skip(f"needs {program}")
    (tools / program).symlink_to(path)
    result = load(tmp_path, url_of(server), PATH=str(tools))
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith(f"60000 10000 {tmp_path}/cache/fatwood/fashion-mnist\n")
    assert result.stdout.count("Downloading http://127.0.0.1") == 4
    assert cached(tmp_path) == sorted(NAMES)
    asked = len(server.requests)
    again = load(tmp_path, url_of(server), PATH=str(tools))
    assert again.returncode == 0, again.stderr
    assert len(server.requests) == asked


@needs_package
def test_only_missing_files_are_fetched(server, tmp_path):
    serve_real_files(server)
    cache = tmp_path / "cache/fatwood/fashion-mnist"
    cache.mkdir(parents=True)
    for name in NAMES[:3]:
        (cache / name).symlink_to(PACKAGE / name)
    result = load(tmp_path, url_of(server))
    assert result.returncode == 0, result.stderr
    assert server.requests == [f"/{NAMES[3]}"]


@needs_package
def test_a_truncated_file_stays_out_of_the_cache(server, tmp_path):
    whole = (PACKAGE / NAMES[0]).read_bytes()
    (server.folder / NAMES[0]).write_bytes(whole[: len(whole) // 2])
    result = load(tmp_path, url_of(server))
    assert_one_error(result, 3, NAMES[0], "a truncated gzip stream", "to fetch it by hand: curl")
    assert cached(tmp_path) == []


def test_an_html_page_stays_out_of_the_cache(server, tmp_path):
    (server.folder / NAMES[0]).write_text("<!DOCTYPE html><title>Please log in</title>")
    result = load(tmp_path, url_of(server))
    assert_one_error(result, 3, NAMES[0], "an HTML page, wanted a gzip stream")
    assert cached(tmp_path) == []


@needs_package
def test_other_content_is_told_by_its_digest(server, tmp_path):
    (server.folder / NAMES[0]).symlink_to(PACKAGE / NAMES[2])
    result = load(tmp_path, url_of(server))
    assert_one_error(result, 3, NAMES[0], "SHA-256 of the content 5b4141f0", "wanted c59f468a")
    assert cached(tmp_path) == []


def test_more_than_the_file_can_be_is_cut_off(server, tmp_path):
    with open(server.folder / NAMES[0], "wb") as file:
        file.truncate(1 << 40)
    result = load(tmp_path, url_of(server))
    assert_one_error(result, 3, NAMES[0], "more than 47040016 bytes came")
    assert cached(tmp_path) == []


def test_a_missing_file_a_dead_server_and_a_machine_without_curl_are_one_error_each(
        server, tmp_path):
    assert_one_error(load(tmp_path, url_of(server)), 5, NAMES[0], "404")
    assert_one_error(load(tmp_path, "http://127.0.0.1:1"), 5, "curl failed with exit code 7")
    assert_one_error(load(tmp_path, "http://127.0.0.1:1", PATH=str(tmp_path)), 5,
                     "neither curl nor wget is installed")
    assert_one_error(load(tmp_path, "file:///etc"), 5, "begins with http:// or https://")
    assert cached(tmp_path) == []
