"""Damage of every kind to files: of their bytes, their words, and what they hold."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from tunebox.spec.yaml_source import parse_yaml

EVIL = "EVIL_FOLDER"  # the variable that names the folder that a pickle would make
DEEP = "@deep@"  # stands for lists within lists
DEPTH = 3000
Mutation = Callable[[random.Random, bytes], bytes]

_BYTES = (
    b"\x00",
    b"\xff" * 8,
    b"\x1b[31m",
    b"\n",
    b"\r\n",
    b"\xe2\x80\xae",
    b"\x85",
    b"\xef\xbb\xbf",
)
_WORDS = (
    *(
        "inf",
        "-inf",
        "nan",
        "NaN",
        "Infinity",
        ".inf",
        ".nan",
        "1e999",
        "-1",
        "0",
        "1.5",
        "9" * 400,
    ),
    *(
        "9" * 5000,
        "0x" + "f" * 5000,
        "null",
        "~",
        "true",
        "[]",
        "{}",
        "''",
        '""',
        "\\",
        "\x00",
        "\x07",
    ),
    *(
        "[",
        "]",
        "{",
        "}",
        ":",
        ": ",
        ",",
        "- ",
        "#",
        "|",
        ">",
        "%",
        "@",
        "`",
        "?",
        "!",
        "\t",
        "\n  ",
    ),
    *("&a", "*a", "<<: *a", "!!binary x", "!!set {a}", "2020-01-01", "2020-99-99", "0o17", "1:30"),
    *("../..", "/", "a/b", "-x", "x" * 300, "é", "\u202e", "\udcff", "\u2028"),
)


def values(generator: random.Random) -> Any:
    """Return a value that is unlike most that stand in a file."""
    return generator.choice(
        [
            *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.5, -0.0, 1e308),
            *(
                float("inf"),
                float("-inf"),
                float("nan"),
                "",
                "x",
                "0",
                "nan",
                "\x00",
                "\x1b[2J",
                "\n",
            ),
            *("a/b", "../x", "-o", "x" * 100_000, "\u202e", DEEP, [], {}, [None], [[]], {"": None}),
            *([0] * 1000, [1, 2], ["a", "b"], {"a": 1}, {"kind": "mlp"}, {"choice": [1, 2]}),
            *({"choice": {"a": {}, "b": None}}, {"uniform": [0, 1]}, {"float": "nan"}, {"x": DEEP}),
        ]
    )


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value in nested dicts and lists."""
    yield path
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from places(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from places(value, (*path, index))


def changed_tree(generator: random.Random, tree: Any, strange: Callable[..., Any] = values) -> Any:
    """Return a copy of ``tree`` with up to three values replaced, lost, renamed or copied."""
    for _ in range(generator.choice([1, 1, 1, 2, 3])):
        path = generator.choice(list(places(tree)))
        other = generator.choice(list(places(tree)))
        action = generator.choice(["replace", "replace", "replace", "lose", "rename", "copy"])
        tree = _with(tree, path, action, strange(generator), _at(tree, other))
    return tree


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _with(tree: Any, path: tuple[Any, ...], action: str, value: Any, other: Any) -> Any:
    if not path:
        return value if action == "replace" else tree
    key, rest = path[0], path[1:]
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    if rest:
        copy[key] = _with(copy[key], rest, action, value, other)
    elif action == "lose":
        del copy[key]
    elif action == "rename" and isinstance(copy, dict):
        copy[str(value)[:50]] = copy.pop(key)
    else:
        copy[key] = other if action == "copy" else value
    return copy


def with_depth(text: str) -> str:
    """Return the text of JSON or YAML with `DEEP` replaced by what it stands for."""
    deep = "[" * DEPTH + "]" * DEPTH
    return text.replace(f'"{DEEP}"', deep).replace(f"'{DEEP}'", deep).replace(DEEP, deep)


def changed_bytes(generator: random.Random, content: bytes) -> bytes:
    """Return ``content`` with flipped bits, or with a part cut off, lost, doubled or moved."""
    data = bytearray(content or b"\n")
    for _ in range(generator.choice([1, 1, 2, 4])):
        start, end = sorted(generator.randrange(len(data) + 1) for _ in range(2))
        end = min(end, start + generator.choice([1, 4, 64, 4096]))
        match generator.randrange(7):
            case 0:
                for _ in range(generator.randint(1, 8)):
                    data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            case 1:
                data = data[:start]
            case 2:
                data[start:start] = generator.choice(_BYTES)
            case 3:
                data[start:start] = data[start:end] * generator.choice([1, 1, 50])
            case 4:
                del data[start:end]
            case 5:
                block = data[start:end]
                del data[start:end]
                at = generator.randrange(len(data) + 1)
                data[at:at] = block
            case _:
                data[start:end] = generator.randbytes(end - start)
        data = data or bytearray(b"\n")
    return bytes(data)


def changed_words(generator: random.Random, content: bytes) -> bytes:
    """Return a text with words replaced, swapped, doubled or lost."""
    words = re.findall(r"\w+|\s+|.", content.decode("utf-8", "surrogateescape"), re.DOTALL)
    for _ in range(generator.choice([1, 1, 2, 4])):
        one, other = (generator.randrange(len(words)) for _ in range(2))
        match generator.randrange(4):
            case 0:
                words[one] = generator.choice(_WORDS)
            case 1:
                words[one], words[other] = words[other], words[one]
            case 2:
                words[one:one] = words[min(one, other) : max(one, other)]
            case _:
                words[one] = ""
    return "".join(words).encode("utf-8", "surrogateescape")


def in_json(generator: random.Random, content: bytes) -> bytes:
    lines = content.splitlines() or [b"{}"]
    place = generator.randrange(len(lines))
    if not _is_lines(content):
        lines, place = [content], 0
    tree = changed_tree(generator, json.loads(lines[place]))
    lines[place] = with_depth(json.dumps(tree)).encode()
    return b"\n".join(lines) + b"\n"


def _is_lines(content: bytes) -> bool:
    try:
        json.loads(content.splitlines()[0])
    except ValueError:
        return False
    return True


def in_yaml(generator: random.Random, content: bytes) -> bytes:
    tree = changed_tree(generator, parse_yaml(content.decode(), "whole").data)
    return with_depth(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)).encode(
        "utf-8", "replace"
    )


def a_yaml_bomb(generator: random.Random, content: bytes) -> bytes:
    """Return YAML that is small, and large or endless once its aliases are followed."""
    names = "abcdefghij"
    many = {name: ", ".join([f"*{name}"] * 9) for name in names}
    pairs = list(pairwise(names))
    bombs = [
        "\n".join(["a: &a [x, x, x]", *(f"{b}: &{b} [{many[a]}]" for a, b in pairs)]),
        "\n".join(["a: &a {x: 1}", *(f"{b}: &{b} {{<<: [{many[a]}]}}" for a, b in pairs)]),
        f"a: &a [{many['a']}]",
        "x: " + "{a: " * DEPTH + "1" + "}" * DEPTH,
    ]
    text = generator.choice(bombs).encode()
    return generator.choice([text, content + b"\n" + text + b"\n", text + b"\n" + content])


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ[EVIL],)


def _strange_weights(generator: random.Random) -> Any:
    import torch

    return generator.choice(
        [
            lambda: values(generator),
            lambda: values(generator),
            lambda: torch.zeros(3, 4),
            lambda: torch.zeros(1).expand(10**12),
            lambda: torch.zeros(2, dtype=torch.complex64),
            lambda: torch.ones(10, dtype=torch.int8),
            lambda: torch.full((10,), float("nan")),
            lambda: torch.eye(3).to_sparse(),
            lambda: torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8),
            lambda: torch.empty(10**9, device="meta"),
            lambda: torch.tensor(7),
            lambda: torch.nn.Parameter(torch.zeros(10)),
            lambda: torch.Size([1, 2]),
            lambda: torch.float32,
            lambda: {1: torch.zeros(1)},
            lambda: {"model": {b"x": 1}},
            lambda: 1j,
            lambda: (1, 2),
            _Runs,
        ]
    )()


def in_torch(generator: random.Random, content: bytes) -> bytes:
    import torch

    tree = torch.load(io.BytesIO(content), weights_only=True)
    changed = changed_tree(generator, _plain(tree), _strange_weights)
    file = io.BytesIO()
    torch.save(changed, file)
    return file.getvalue()


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _plain(value) for key, value in tree.items()}
    return tree


def in_archive(generator: random.Random, content: bytes) -> bytes:
    """Change a part of torch's archive, with a right checksum."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        names = old.namelist()
        chosen = generator.choice([name for name in names if name.endswith(".pkl")] + names)
        for name in names:
            part = old.read(name)
            if name != chosen:
                new.writestr(name, part)
                continue
            way = generator.randrange(5)
            if way == 0:
                new.writestr(name, pickle.dumps(_Runs(), protocol=2))
            elif way == 1:
                new.writestr(name, bytes(50_000_000), zipfile.ZIP_DEFLATED)
            elif way == 2 and len(names) > 1:
                continue
            else:
                new.writestr(name, changed_bytes(generator, part))
    return changed.getvalue()


def _with_a_strange_column(generator: random.Random, table: Any) -> Any:
    import pyarrow as pa

    column = generator.randrange(table.num_columns)
    name = table.column_names[column]
    strange = generator.choice(
        [
            pa.nulls(len(table)),
            pa.array([[1, 2]] * len(table)),
            pa.array([{"a": 1}] * len(table)),
            pa.array([{"bytes": 7}] * len(table)),
            pa.array(["x\x1b[2J\n"] * len(table)),
            pa.array([b"\xff"] * len(table)),
            pa.array([float("nan")] * len(table)),
            pa.array([2**62] * len(table)),
            pa.array([None, *["../x"] * (len(table) - 1)]) if len(table) else pa.nulls(0),
        ]
    )
    match generator.randrange(5):
        case 0:
            return table.drop_columns([name])
        case 1:
            return table.set_column(column, "x" * generator.choice([1, 300]), table[name])
        case 2 | 3:
            return table.set_column(column, name, strange)
        case _:
            return table.slice(0, 0)


def in_image_parquet(generator: random.Random, content: bytes) -> bytes:
    """Change a column of a data set of images, or the names of its classes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    metadata = dict(table.schema.metadata)
    if generator.randrange(2):
        table = _with_a_strange_column(generator, table)
    else:
        tree = changed_tree(generator, json.loads(metadata[b"huggingface"]))
        metadata[b"huggingface"] = with_depth(json.dumps(tree)).encode()
    written = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), written)
    return bytes(written.getvalue())


def in_npz(generator: random.Random, content: bytes) -> bytes:
    """Lose, rename, retype or reshape an array, or lie about its shape; all checksums are right."""
    import numpy as np

    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    name = generator.choice(list(arrays))
    array = arrays.pop(name)
    strange = [
        *(array.astype(np.float32), array.astype("<U3"), array.astype(np.complex64)),
        *(array[:-1], array[..., None], array.T, np.asfortranarray(array), array.ravel()),
        *(array.astype(np.int64) - 9, array.astype(np.int64) + 2**40, np.zeros((0, 5))),
        *(np.float64(3), array.astype(">u2"), array.astype(bool), array[:0]),
    ]
    made = io.BytesIO()
    match generator.randrange(4):
        case 0:
            np.savez(made, **arrays)
        case 1:
            np.savez(made, **{**arrays, generator.choice(["x", "test_images"]): array})
        case 2:
            np.savez_compressed(made, **arrays, **{name: generator.choice(strange)})
        case _:
            np.savez(made, **arrays)
            member = io.BytesIO()
            shape = (generator.choice([10**12, 2, 10**5]), *array.shape[1:])
            header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(member, header)
            with zipfile.ZipFile(made, "a") as changed:
                changed.writestr(f"{name}.npy", member.getvalue() + array.tobytes())
    return made.getvalue()


def in_parquet(generator: random.Random, content: bytes) -> bytes:
    """Lose, rename, retype or empty a column, or change what the metadata say."""
    import pyarrow.parquet as pq

    from tunebox.records.table_file import write_table

    table = pq.read_table(io.BytesIO(content))
    metadata = dict(table.schema.metadata)
    if generator.randrange(6) < 5:
        table = _with_a_strange_column(generator, table)
    else:
        (key,) = (key for key in metadata if key.startswith(b"tunebox"))
        tree = changed_tree(generator, json.loads(metadata[key]))
        metadata[key] = with_depth(json.dumps(tree)).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        write_table(table.replace_schema_metadata(metadata), path)
        return path.read_bytes()


def in_image(generator: random.Random, content: bytes) -> bytes:
    """Write the image in another format, mode or size, then damage it."""
    from PIL import Image

    image = Image.open(io.BytesIO(content)).convert(
        generator.choice(["L", "RGB", "1", "P", "RGBA", "CMYK", "I", "F"])
    )
    size = generator.choice([(9, 7), (1, 1), (1, 3000), (300, 200)])
    file = io.BytesIO()
    kind = generator.choice(["PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "WEBP"])
    try:
        image.resize(size).save(file, kind)
    except (OSError, ValueError):  # a mode that the format lacks
        return changed_bytes(generator, content)
    whole = file.getvalue()
    return generator.choice([whole, changed_bytes(generator, whole)])


def in_idx(generator: random.Random, content: bytes) -> bytes:
    raw = gzip.decompress(content)
    many = bytes((0, 0, 8, 200)) + (1).to_bytes(4, "big") * 200 + b"\0"
    return gzip.compress(generator.choice([changed_bytes(generator, raw), many, bytes(10**6)]))
