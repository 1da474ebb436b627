"""Rules about the tree that no compiler checks."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE_FOLDERS = ["src", "apps", "tests", "bench", "examples"]
NOT_OURS = {".git", ".venv", ".cache", "build", "runs", "__pycache__"}

# What each folder of src/fatwood may include beside itself: the data flow, in one direction.
MAY_INCLUDE = {
    "core": [],
    "io": ["core"],
    "data": ["core", "io"],
    "kernels": ["core"],
    "cuda": ["core", "io"],
    "model": ["core", "io", "data", "kernels", "cuda"],
    "engine": ["core", "kernels", "model"],
    "train": ["core", "io", "data", "kernels", "cuda", "model", "engine"],
    "inspect": ["core", "io", "data", "kernels", "cuda", "model", "engine", "train"],
    "recipes": ["core", "io", "data", "kernels", "cuda", "model", "engine", "train", "inspect", "report"],
    "report": ["core", "io"],
}
WITHOUT_LIBTORCH = ["core", "io", "data", "kernels", "report"]

LINE_LIMIT = 400
# Longer files, each with its reason.
LONG_FILES = {}

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
TORCH_HEADER = re.compile(r"(torch|ATen|c10|caffe2)/")
# Folders of one machine. A home in an example is written ~.
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(work|root|home)/\w")


def cpp_files():
    files = [path for folder in SOURCE_FOLDERS for path in sorted((ROOT / folder).rglob("*"))
             if path.suffix in {".h", ".cpp"}]
    assert len(files) > 50
    return files


def text_files():
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in NOT_OURS]
        for name in set(names) - NOT_OURS:
            path = Path(folder) / name
            try:
                yield path, path.read_text()
            except UnicodeDecodeError:
                pass


def test_sources_are_formatted():
    result = subprocess.run([os.environ["FATWOOD_CLANG_FORMAT"], "--dry-run", "--Werror",
                             *map(str, cpp_files())], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def wrong_includes(folder, text):
    allowed = {folder, *MAY_INCLUDE[folder]}
    for header in INCLUDE.findall(text):
        parts = header.split("/")
        if parts[0] == "fatwood" and len(parts) > 2 and parts[1] not in allowed:
            yield header
        if folder in WITHOUT_LIBTORCH and TORCH_HEADER.match(header):
            yield header


def test_includes_follow_the_data_flow():
    wrong = []
    for path in cpp_files():
        parts = path.relative_to(ROOT).parts
        if parts[:2] == ("src", "fatwood") and len(parts) > 3:
            assert parts[2] in MAY_INCLUDE, f"{parts[2]}: a new folder needs its line in MAY_INCLUDE"
            wrong += [f"{path.relative_to(ROOT)}: {header}"
                      for header in wrong_includes(parts[2], path.read_text())]
    assert not wrong, "\n".join(wrong)


def test_the_include_rule_sees_a_wrong_include():
    assert list(wrong_includes("core", "#include <fatwood/io/file.h>\n#include <fatwood/core/a.h>")) \
        == ["fatwood/io/file.h"]
    assert list(wrong_includes("kernels", "  # include <torch/torch.h>")) == ["torch/torch.h"]


def test_no_file_names_a_folder_of_one_machine():
    wrong = [f"{path.relative_to(ROOT)}: {match.group()}" for path, text in text_files()
             for match in MACHINE_PATH.finditer(text)]
    assert not wrong, "\n".join(wrong)


def test_files_stay_short_enough_to_read():
    lengths = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in cpp_files()}
    long_files = {path for path, lines in lengths.items() if lines > LINE_LIMIT}
    assert long_files == set(LONG_FILES), long_files ^ set(LONG_FILES)


def test_shell_scripts_pass_shellcheck():
    scripts = [path for path, text in text_files() if re.match(r"#!.*\b(ba)?sh\b", text)]
    assert ROOT / "fatwood" in scripts
    result = subprocess.run([os.environ["FATWOOD_SHELLCHECK"], *map(str, scripts)],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_the_readme_quotes_its_example():
    example = (ROOT / "examples" / "train_fashion_mnist.cpp").read_text()
    program = example[example.index("#include"):]
    assert f"```cpp\n{program}```\n" in (ROOT / "README.md").read_text()
