"""Where the SHA-256 digests in fashion_mnist.cpp come from.

The authors publish MD5 digests of the packed files. Debian packs the same content without names and
times in the gzip headers; with those put back its files are the authors' to the byte, so what is
inside them is what the digests must be of.
"""

import gzip
import hashlib
import pathlib
import re
import struct

import pytest

PACKAGE = pathlib.Path("/usr/share/datasets/fashion-mnist")
SOURCE = pathlib.Path(__file__).parents[2] / "src/fatwood/data/fashion_mnist.cpp"

# Name, modification time in the authors' gzip header, MD5 that they publish.
PUBLISHED = [
    ("train-images-idx3-ubyte", 1504176606, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    ("train-labels-idx1-ubyte", 1504176606, "25c81989df183df01b3e8a0aad5dffbe"),
    ("t10k-images-idx3-ubyte", 1504176627, "bef4ecab320f06d8554ea6380940ec79"),
    ("t10k-labels-idx1-ubyte", 1504176627, "bb300cfdad3c16e7a12a480ee83cd310"),
]

HAS_NAME = 8


@pytest.mark.skipif(not PACKAGE.exists(), reason="needs the package dataset-fashion-mnist")
@pytest.mark.parametrize("name, time, md5", PUBLISHED)
def test_digests_are_of_the_published_files(name, time, md5):
    packed = (PACKAGE / f"{name}.gz").read_bytes()
    flags, end_of_header = packed[3], 10
    assert flags == 0
    authors = (packed[:3] + bytes([HAS_NAME]) + struct.pack("<I", time) + packed[8:end_of_header]
               + name.encode() + b"\0" + packed[end_of_header:])
    assert hashlib.md5(authors).hexdigest() == md5

    plain = gzip.decompress(authors)
    entry = re.search(rf'"{name}",\s*"([0-9a-f]{{64}})",\s*(\d+)}}', SOURCE.read_text())
    assert entry.group(1) == hashlib.sha256(plain).hexdigest()
    assert int(entry.group(2)) == len(plain)
