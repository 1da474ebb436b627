"""Malformed files by the thousand, each a function of (format, seed, index).

Every generator yields (what is wrong, bytes). Files that a change happened to leave well-formed are
not yielded: Python's zlib and safetensors judge that where it is not plain by construction.
"""

import gzip
import hashlib
import json
import random
import struct
import zlib

import safetensors

UNPACKED_LIMIT = 96 << 20  # fatwood::IdxLimits


# --- IDX ------------------------------------------------------------------------------------------

def idx_file(random_, dimensions):
    sizes = [random_.randint(1, 12) for _ in range(dimensions)]
    count = 1
    for size in sizes:
        count *= size
    return struct.pack(f">I{dimensions}I", 0x800 + dimensions, *sizes) + random_.randbytes(count)


def cut(random_, data):
    return data[: random_.randrange(len(data))]


def extend(random_, data):
    return data + random_.randbytes(random_.randint(1, 40))


def idx_magic(random_, data):
    place = random_.randrange(4)
    value = random_.choice([b for b in range(256) if b != data[place]])
    return data[:place] + bytes([value]) + data[place + 1:]


def idx_size(random_, data, dimensions):
    # One changed size always changes the product, for none is 0.
    place = 4 + 4 * random_.randrange(dimensions)
    old = struct.unpack_from(">I", data, place)[0]
    new = random_.choice([0, old - 1, old + 1, old << 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
                          random_.getrandbits(32)])
    if new == old:
        new = old + 1
    return data[:place] + struct.pack(">I", new) + data[place + 4:]


def idx_overflow(random_, dimensions):
    # Sizes whose product is small modulo 2^64 or 2^32, and as many bytes as that promises.
    sizes = {1: [0xFFFFFFFF], 3: random_.choice([
        [0x80000000, 0x80000000, 4], [0x10000, 0x10000, 1], [0x10000, 0x10000, 0x10000],
        [0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF], [1 << 31, 2, 1], [1 << 16, 1 << 16, 3]])}[dimensions]
    product = 1
    for size in sizes:
        product *= size
    held = min(product % (1 << 64), product % (1 << 32), 300)
    return struct.pack(f">I{dimensions}I", 0x800 + dimensions, *sizes) + bytes(held)


def idx_little_endian(random_, data, dimensions):
    words = struct.unpack_from(f">{dimensions + 1}I", data)
    return struct.pack(f"<{dimensions + 1}I", *words) + data[4 * dimensions + 4:]


def text_instead(random_, data):
    return random_.choice([
        b"", b"\n", b"<!DOCTYPE html><html><body>Sign in to continue</body></html>\n" * 20,
        b"  <html>404</html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        b"\x89PNG\r\n\x1a\n" + data, b"PK\x03\x04" + data, b"{\"error\": \"not found\"}",
        bytes(random_.randint(1, 400)), b"\xff" * random_.randint(1, 400)])


def idx(count, dimensions, seed):
    for index in range(count):
        random_ = random.Random(f"idx{dimensions}/{seed}/{index}")
        data = idx_file(random_, dimensions)
        what, changed = random_.choice([
            ("cut", lambda: cut(random_, data)),
            ("extended", lambda: extend(random_, data)),
            ("magic", lambda: idx_magic(random_, data)),
            ("size", lambda: idx_size(random_, data, dimensions)),
            ("overflow", lambda: idx_overflow(random_, dimensions)),
            ("little endian", lambda: idx_little_endian(random_, data, dimensions)),
            ("text", lambda: text_instead(random_, data)),
            ("dimensions", lambda: idx_file(random_, 4 - dimensions)),
            ("noise", lambda: b"\x01" + random_.randbytes(random_.randint(0, 300))),
        ])
        changed = changed()
        if random_.random() < 0.3:  # wrong inside a sound gzip stream
            what, changed = what + ", packed", gzip.compress(changed, mtime=0)
        yield what, changed


# --- gzip -----------------------------------------------------------------------------------------

def unpacks(data):
    """Whether zlib accepts `data` as gzip members and nothing else, within the limit."""
    unpacked = 0
    while True:
        stream = zlib.decompressobj(31)
        try:
            while not stream.eof:
                piece = stream.decompress(data, 1 << 20)
                unpacked += len(piece)
                if unpacked > UNPACKED_LIMIT:
                    return False
                data = stream.unconsumed_tail if not stream.eof else stream.unused_data
                if not piece and not stream.eof and not data:
                    return False
        except zlib.error:
            return False
        if not data:
            return True


def gzip_member(random_):
    plain = random_.choice([
        b"", bytes(random_.randint(1, 5000)), random_.randbytes(random_.randint(1, 3000)),
        b"".join(random_.choice([b"shirt ", b"coat ", b"bag "]) for _ in range(500))])
    flags, extra = 0, b""
    if random_.random() < 0.3:
        flags, extra = 8, b"train-images-idx3-ubyte\0"
    deflate = zlib.compressobj(random_.choice([0, 1, 6, 9]), wbits=-15)
    body = deflate.compress(plain) + deflate.flush()
    header = struct.pack("<BBBBIBB", 0x1F, 0x8B, 8, flags, random_.getrandbits(32), 0, 3)
    return header + extra + body + struct.pack("<II", zlib.crc32(plain), len(plain) & 0xFFFFFFFF)


def flip_bits(random_, data):
    changed = bytearray(data)
    for _ in range(random_.choice([1, 1, 1, 2, 5, 20])):
        changed[random_.randrange(len(changed))] ^= 1 << random_.randrange(8)
    return bytes(changed)


def gzip_bomb(random_, promised):
    deflate = zlib.compressobj(9, wbits=-15)
    body = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(random_.choice([97, 130, 400])))
    body += deflate.flush()
    return (b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + body
            + struct.pack("<II", random_.getrandbits(32), promised))


def gzip_streams(count, seed):
    index = made = 0
    while made < count:
        random_ = random.Random(f"gzip/{seed}/{index}")
        index += 1
        data = gzip_member(random_)
        # A bomb takes a while to make and to refuse: a few of each kind.
        if made % 100 == 50:
            what, changed = "bomb", gzip_bomb(random_, random_.choice(
                [0, 1, UNPACKED_LIMIT, UNPACKED_LIMIT - 1, 0xFFFFFFFF]))
        else:
            what, changed = random_.choice([
                ("cut", lambda: cut(random_, data)),
                ("extended", lambda: extend(random_, data)),
                ("zeros behind", lambda: data + bytes(random_.randint(1, 600))),
                ("flipped", lambda: flip_bits(random_, data)),
                ("flipped", lambda: flip_bits(random_, data)),
                ("checksum", lambda: data[:-8] + random_.randbytes(8)),
                ("method", lambda: data[:2] + bytes([random_.randint(9, 255)]) + data[3:]),
                ("flags", lambda: data[:3] + bytes([random_.randint(1, 255)]) + data[4:]),
                ("endless name", lambda: data[:3] + b"\x08" + data[4:10] + b"n" * 3000),
                ("second cut", lambda: data + cut(random_, data)[:-1] or b"\x1f"),
                ("second flipped", lambda: data + flip_bits(random_, data)),
                ("text", lambda: text_instead(random_, data)),
                ("only magic", lambda: b"\x1f\x8b" + random_.randbytes(random_.randint(0, 200))),
            ])
            changed = changed()
        if not unpacks(changed):
            made += 1
            yield what, changed


# --- safetensors ----------------------------------------------------------------------------------

DTYPES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4,
          "F32": 4, "I64": 8, "F64": 8, "C64": 8}


def safetensors_file(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def safetensors_parts(random_):
    header, place = {}, 0
    if random_.random() < 0.5:
        header["__metadata__"] = {"format": "pt", "note": "ü\n"}
    for i in range(random_.randint(1, 6)):
        dtype = random_.choice(list(DTYPES))
        shape = [random_.randint(1, 5) for _ in range(random_.randint(0, 4))]
        size = DTYPES[dtype]
        for length in shape:
            size *= length
        header[f"layers.{i}.weight"] = {"dtype": dtype, "shape": shape,
                                        "data_offsets": [place, place + size]}
        place += size
    return header, random_.randbytes(place)


NUMBERS = [0, 1, 2, 7, -1, 255, 1 << 31, 1 << 32, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1,
           1 << 64, 10 ** 30, 1.0, 1.5, 1e300, None, True, "1", [], {}]


def edited(random_, header):
    """Changes one thing in one tensor's entry."""
    name = random_.choice([key for key in header if key != "__metadata__"])
    entry = header[name]
    kind = random_.randrange(7)
    if kind == 0:
        entry["data_offsets"][random_.randrange(2)] = random_.choice(NUMBERS)
    elif kind == 1:
        entry["shape"].insert(random_.randint(0, len(entry["shape"])), random_.choice(NUMBERS))
    elif kind == 2:
        entry["dtype"] = random_.choice(["F31", "", "f32", "float32", 32, None, ["F32"], "F64 "])
    elif kind == 3:
        del entry[random_.choice(list(entry))]
    elif kind == 4:
        entry[random_.choice(list(entry))] = random_.choice(NUMBERS)
    elif kind == 5:
        header[name] = random_.choice(NUMBERS)
    else:
        entry["data_offsets"] = [offset + random_.choice([-1, 1, 8]) for offset in
                                 entry["data_offsets"]]
    return header


def swap_bytes_of_header(random_, text):
    changed = bytearray(text)
    for _ in range(random_.choice([1, 1, 2, 4])):
        changed[random_.randrange(len(changed))] = random_.choice(
            list(b'{}[],:"\\ 0-9eE.\0\xff\xc0\xed') + [random_.randrange(256)])
    return bytes(changed)


def python_accepts(data):
    try:
        safetensors.deserialize(data)
    except safetensors.SafetensorError:
        return False
    return True


def safetensors_by_hand():
    """Sixty files that a person thought of: (what is wrong, bytes)."""
    entry = '{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
    empty = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    eight = bytes(8)
    texts = [
        ("no header text", "", b""), ("an array", "[]", b""), ("a string", '"{}"', b""),
        ("null", "null", b""), ("a number", "1", b""), ("space in front", " {}", b""),
        ("byte order mark", b"\xef\xbb\xbf{}", b""), ("zero byte behind", b"{}\0", b""),
        ("zero byte inside", b'{"a\0":' + empty.encode() + b"}", b""),
        ("unclosed", "{", b""), ("unclosed string", '{"a', b""), ("two objects", "{}{}", b""),
        ("garbage behind", "{}x", b""), ("comma behind", '{"a":' + empty + ",}", b""),
        ("comment", "{/**/}", b""), ("single quotes", "{'a':" + empty + "}", b""),
        ("invalid UTF-8", b'{"\xff":' + empty.encode() + b"}", b""),
        ("overlong UTF-8", b'{"\xc0\xaf":' + empty.encode() + b"}", b""),
        ("surrogate in UTF-8", b'{"\xed\xa0\x80":' + empty.encode() + b"}", b""),
        ("lone escaped surrogate", '{"\\ud800":' + empty + "}", b""),
        ("unknown escape", '{"\\x41":' + empty + "}", b""),
        ("raw newline in a name", '{"a\n":' + empty + "}", b""),
        ("same name twice", '{"a":' + empty + ',"a":' + empty + "}", b""),
        ("same name twice, once escaped", '{"a":' + empty + ',"\\u0061":' + empty + "}", b""),
        ("metadata twice", '{"__metadata__":{},"__metadata__":{}}', b""),
        ("metadata key twice", '{"__metadata__":{"a":"1","a":"2"}}', b""),
        ("metadata number", '{"__metadata__":{"a":1}}', b""),
        ("metadata object", '{"__metadata__":{"a":{}}}', b""),
        ("metadata array", '{"__metadata__":["a"]}', b""),
        ("metadata string", '{"__metadata__":"a"}', b""),
        ("metadata as a tensor", '{"__metadata__":' + entry + "}", eight),
        ("field twice", '{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
         eight),
        ("unknown field", '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"stride":[1]}}',
         eight),
        ("no dtype", '{"a":{"shape":[2],"data_offsets":[0,8]}}', eight),
        ("no shape", '{"a":{"dtype":"F32","data_offsets":[0,8]}}', eight),
        ("no offsets", '{"a":{"dtype":"F32","shape":[2]}}', eight),
        ("empty entry", '{"a":{}}', b""), ("entry null", '{"a":null}', b""),
        ("unknown dtype", '{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}', eight),
        ("dtype in lower case", '{"a":{"dtype":"f32","shape":[2],"data_offsets":[0,8]}}', eight),
        ("negative size", '{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}', eight),
        ("size as a float", '{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}', eight),
        ("size of 2^64", '{"a":{"dtype":"F32","shape":[18446744073709551616],'
                         '"data_offsets":[0,8]}}', eight),
        ("product wraps to 8 bytes", '{"a":{"dtype":"F32","shape":[4611686018427387906],'
                                     '"data_offsets":[0,8]}}', eight),
        ("product wraps to 0", '{"a":{"dtype":"F32","shape":[4294967296,4294967296],'
                               '"data_offsets":[0,0]}}', b""),
        ("nested shape", '{"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}}', eight),
        ("one offset", '{"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}}', eight),
        ("three offsets", '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}', eight),
        ("offsets backwards", '{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}', eight),
        ("offsets past the end", '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', eight),
        ("offsets of 2^63", '{"a":{"dtype":"F32","shape":[2],"data_offsets":'
                            '[9223372036854775800,9223372036854775808]}}', eight),
        ("shape smaller than its data", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}',
         eight),
        ("a hole in front", '{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}', bytes(12)),
        ("a hole between", '{"a":' + entry + ',"b":{"dtype":"F32","shape":[2],'
                           '"data_offsets":[12,20]}}', bytes(20)),
        ("an overlap", '{"a":' + entry + ',"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
         bytes(12)),
        ("the same data twice", '{"a":' + entry + ',"b":' + entry + "}", eight),
        ("data behind", '{"a":' + entry + "}", bytes(9)),
        ("data missing", '{"a":' + entry + "}", bytes(7)),
    ]
    files = [(what, safetensors_file(text if isinstance(text, bytes) else text.encode(), data))
             for what, text, data in texts]
    files.append(("header longer than the file", struct.pack("<Q", 1 << 20) + b"{}"))
    files.append(("header of 2^64 - 1", struct.pack("<Q", (1 << 64) - 1) + b"{}"))
    assert len(files) == 60
    return files


def safetensors_huge():
    """Headers near the format's limit, each made to cost as much memory as it can."""
    size = 99_000_000

    def filled(start, item, end):
        parts, length = [start], len(start) + len(end)
        index = 0
        while length < size:
            part = item(index)
            parts.append(part)
            length += len(part)
            index += 1
        return safetensors_file("".join(parts + [end]).encode()[:100_000_000], b"")

    empty = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    yield "one name", safetensors_file(b'{"' + b"n" * size + b'":1}', b"")
    yield "many long names", filled(
        "{", lambda i: f'"{i}{"n" * 3_999_000}":{empty},', '"x":1}')
    yield "many tensors", filled("{", lambda i: f'"{i}":{empty},', '"x":1}')
    yield "much metadata", filled('{"__metadata__":{', lambda i: f'"{i}":"",', '"x":1}}')
    yield "long metadata", filled(
        '{"__metadata__":{', lambda i: f'"{i}":"{"n" * 3_999_000}",', '"x":1}}')
    yield "many dimensions", safetensors_file(
        b'{"a":{"shape":[' + b"1," * (size // 2 - 20) + b"1]}}", b"")
    yield "deep arrays", safetensors_file(b'{"a":' + b"[" * size, b"")
    yield "deep objects", safetensors_file(b'{"a":' * (size // 5), b"")
    yield "a long number", safetensors_file(b'{"a":{"shape":[' + b"9" * size + b"]}}", b"")
    yield "blanks", safetensors_file(b"{" + b" " * size, b"")
    yield "past the limit", safetensors_file(b"{}" + b" " * 100_000_000, b"")


def safetensors_files(count, seed):
    index = made = 0
    while made < count:
        random_ = random.Random(f"safetensors/{seed}/{index}")
        index += 1
        header, data = safetensors_parts(random_)
        text = json.dumps(header).encode()
        whole = safetensors_file(text, data)
        what, changed = random_.choice([
            ("cut", lambda: cut(random_, whole)),
            ("extended", lambda: extend(random_, whole)),
            ("length", lambda: struct.pack("<Q", random_.choice(
                [len(text) - 1, len(text) + 1, 0, 1 << 40, random_.getrandbits(64)]))
                + whole[8:]),
            ("edited", lambda: safetensors_file(edited(random_, header), data)),
            ("edited", lambda: safetensors_file(edited(random_, header), data)),
            ("edited", lambda: safetensors_file(edited(random_, header), data)),
            ("bytes", lambda: safetensors_file(swap_bytes_of_header(random_, text), data)),
            ("bytes", lambda: safetensors_file(swap_bytes_of_header(random_, text), data)),
            ("text", lambda: text_instead(random_, whole)),
            ("noise", lambda: random_.randbytes(random_.randint(0, 300))),
        ])
        changed = changed()
        if not python_accepts(changed):
            made += 1
            yield what, changed


# --- checkpoints ----------------------------------------------------------------------------------

def checkpoint_body(random_, about=None):
    """A checkpoint without the digest that ends it."""
    header, data = safetensors_parts(random_)
    data = bytes(len(data))  # numbers that are finite
    header["digest"] = {"dtype": "U8", "shape": [32], "data_offsets": [len(data), len(data) + 32]}
    header["__metadata__"] = {"fatwood.checkpoint": json.dumps({"format": 1, "step": 3} if about is None else about)}
    return safetensors_file(header, data)  # the digest's data are what the caller adds


def checkpoint_file(random_):
    body = checkpoint_body(random_)
    return body + hashlib.sha256(body).digest()


def checkpoints(every, seed):
    """Of a small one: each byte flipped and each truncation, or every so manyth of them."""
    whole = checkpoint_file(random.Random(f"checkpoint {seed}"))
    for place in range(0, len(whole), every):
        yield f"byte {place} flipped", whole[:place] + bytes([whole[place] ^ 0xff]) + whole[place + 1:]
        yield f"cut to {place} bytes", whole[:place]
    yield "a byte more", whole + b"\0"


# --- tuned tables ---------------------------------------------------------------------------------

def tuning_table(random_):
    return {"kind": "fatwood tuning", "format": 1, "entries": [{
        "layer": f"Conv: conv 3x3/{random_.choice([1, 2])} 8->16, leaky relu, norm",
        "input": [random_.randint(1, 64), random_.randint(1, 28), random_.randint(1, 28)],
        "batch": batch, "isa": random_.choice(["portable", "avx2", "avx512"]), "threads": random_.randint(1, 64),
        "precision": random_.choice(["f32", "bf16"]), "runs": random_.choice(["kernels", "torch"]),
        "kernels_ms": random_.randint(1, 9999) / 100, "torch_ms": random_.choice([1, 2.5, 1e-3]), "cpu": "ü \"x\""}
        for batch in range(1, random_.randint(2, 5))]}


def tuning_file(table):
    return json.dumps(table, indent=1, ensure_ascii=False).encode()


NO_COUNT = [0, -1, 1.5, 1 << 40, 1 << 64, 1e300, None, True, "1", [], {}]
NO_MILLISECONDS = [0, -1, 1e-9, 9e-5, 1.1e7, 1e300, None, True, "1", [], {}]
NO_WORD = ["", "AVX2", "kernels ", "é", None, 1, [], {}, "x" * 501]


def edited_table(random_, table):
    """Changes one thing, so that it is no table any more."""
    entry = random_.choice(table["entries"])
    kind = random_.randrange(9)
    if kind == 0:
        entry[random_.choice(["batch", "threads", "input"])] = random_.choice(NO_COUNT)
    elif kind == 1:
        entry["input"][random_.randrange(3)] = random_.choice(NO_COUNT)
    elif kind == 2:
        entry[random_.choice(["kernels_ms", "torch_ms"])] = random_.choice(NO_MILLISECONDS)
    elif kind == 3:
        place, key = random_.choice([(entry, "isa"), (entry, "precision"), (entry, "runs"), (table, "kind")])
        place[key] = random_.choice(NO_WORD)
    elif kind == 4:
        place = random_.choice([entry, table])
        del place[random_.choice(list(place))]
    elif kind == 5:
        random_.choice([entry, table])[random_.choice(["Batch", "", "comment"])] = 1
    elif kind == 6:
        table["entries"].append(dict(entry, runs="torch"))
    elif kind == 7:
        table["format"] = random_.choice([0, 2, -1, 1.5, "1", None, [], {}])
    else:
        entry[random_.choice(["layer", "cpu"])] = random_.choice([1, None, [], {}, "x" * 501])
    return table


def spoiled(random_, data):
    """A byte that JSON has nowhere."""
    place = random_.randrange(len(data))
    return data[:place] + random_.choice([b"\0", b"\xff", b"\xc0"]) + data[place + 1:]


def deep(random_):
    opened, closed = random_.choice([(b"[", b"]"), (b'{"entries": ', b"}")])
    levels = random_.randint(100, 100_000)
    return opened * levels + random_.choice([b"", b"1" + closed * levels])


def tuning_files(count, seed):
    for index in range(count):
        random_ = random.Random(f"tuning/{seed}/{index}")
        table = tuning_table(random_)
        whole = tuning_file(table)
        key = random_.choice([b'"kind": ', b'"entries": ', b'"batch": ', b'"isa": '])
        what, changed = random_.choice([
            ("cut", lambda: cut(random_, whole)),
            ("something behind", lambda: whole + random_.choice([b"}", b",", b"\0", b"x", whole])),
            ("spoiled", lambda: spoiled(random_, whole)),
            ("a key twice", lambda: whole.replace(key, key + b"1, " + key, 1)),
            ("edited", lambda: tuning_file(edited_table(random_, table))),
            ("edited", lambda: tuning_file(edited_table(random_, table))),
            ("edited", lambda: tuning_file(edited_table(random_, table))),
            ("deep", lambda: deep(random_)),
            ("text", lambda: text_instead(random_, whole)),
            ("noise", lambda: b"\x80" + random_.randbytes(random_.randint(0, 300))),
        ])
        yield what, changed()
    yield "past the limit", tuning_file(tuning_table(random.Random(seed))) + b" " * (4 << 20)
