"""Python's safetensors package is the oracle: each side reads what the other wrote."""

import os
import subprocess

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

RESAVE = os.environ["FATWOOD_RESAVE_SAFETENSORS"]

DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32,
    torch.int64, torch.uint64, torch.float16, torch.bfloat16, torch.float32, torch.float64,
    torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz,
    torch.complex64,
]


def random_tensor(dtype, shape, generator):
    # Bit patterns rather than values: NaNs and denormals must come through as they are.
    size = torch.empty(0, dtype=dtype).element_size()
    count = torch.Size(shape).numel() * size
    high = 2 if dtype == torch.bool else 256
    flat = torch.randint(0, high, (count,), dtype=torch.uint8, generator=generator)
    return flat.view(dtype).reshape(shape)


def bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def resave(source, target):
    return subprocess.run([RESAVE, source, target], capture_output=True, text=True)


def assert_same(left, right):
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert tensor.dtype == right[name].dtype, name
        assert tensor.shape == right[name].shape, name
        assert torch.equal(bits(tensor), bits(right[name])), name


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_goes_both_ways(dtype, tmp_path):
    generator = torch.Generator().manual_seed(7)
    tensors = {
        "weight": random_tensor(dtype, (3, 5), generator),
        "scalar": random_tensor(dtype, (), generator),
        "empty": random_tensor(dtype, (0, 4), generator),
    }
    save_file(tensors, tmp_path / "python")
    result = resave(tmp_path / "python", tmp_path / "ours")
    assert result.returncode == 0, result.stderr
    assert_same(load_file(tmp_path / "ours"), tensors)


def test_mixed_dtypes_names_and_metadata_come_through(tmp_path):
    generator = torch.Generator().manual_seed(8)
    tensors = {f"größe.{i}\n\"{dtype}\"": random_tensor(dtype, (i % 4, 3), generator)
               for i, dtype in enumerate(DTYPES)}
    metadata = {"format": "pt", "ключ": "значение\t\\", "": ""}
    save_file(tensors, tmp_path / "python", metadata)
    result = resave(tmp_path / "python", tmp_path / "ours")
    assert result.returncode == 0, result.stderr
    assert_same(load_file(tmp_path / "ours"), tensors)
    with safe_open(tmp_path / "ours", "pt") as file:
        assert file.metadata() == metadata


def test_resaving_our_own_file_changes_no_byte(tmp_path):
    generator = torch.Generator().manual_seed(9)
    save_file({str(dtype): random_tensor(dtype, (7,), generator) for dtype in DTYPES},
              tmp_path / "python")
    assert resave(tmp_path / "python", tmp_path / "a").returncode == 0
    assert resave(tmp_path / "a", tmp_path / "b").returncode == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_truncated_file_is_one_message_and_leaves_no_output(tmp_path):
    save_file({"a": torch.zeros(100)}, tmp_path / "python")
    whole = (tmp_path / "python").read_bytes()
    (tmp_path / "python").write_bytes(whole[:-1])
    result = resave(tmp_path / "python", tmp_path / "ours")
    assert result.returncode == 3
    assert result.stderr.count("\n") == 1
    assert str(tmp_path / "python") in result.stderr
    assert not (tmp_path / "ours").exists()
