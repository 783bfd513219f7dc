"""One safetensors file: what is written is read, and nothing unsound is ever believed (H1-H20)."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from polyhead.checkpoint import read_header, read_tensors, write_tensors
from polyhead.checkpoint.tensors import DTYPES, MAX_HEADER
from polyhead.errors import CheckpointError, DiskError

from ..swift import swift


def build(path: Path, header: bytes | dict, body: bytes = b"", length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + body)
    return path


def entry(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def refused(path: Path, *words: str) -> str:
    """Both readers refuse, quickly, and name the file and the field."""
    for read in (read_header, read_tensors):
        with swift(), pytest.raises(CheckpointError) as caught:
            read(path)
        text = str(caught.value)
        assert str(path) in text
        assert caught.value.received
        for word in words:
            assert word in text, text
        assert all(letter.isprintable() or letter == "\n" for letter in text)
        assert len(text) < 1500
    return text


def sample(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    count = dtype.itemsize
    for size in shape:
        count *= size
    raw = torch.randint(0, 2 if dtype is torch.bool else 256, (count,), dtype=torch.uint8, generator=generator)
    return raw.view(dtype).reshape(shape)


def same_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    flat = [tensor.contiguous().reshape(-1).view(torch.uint8) for tensor in (left, right)]
    return left.dtype == right.dtype and left.shape == right.shape and torch.equal(*flat)


# What is written is read


@pytest.mark.parametrize("code", DTYPES)
def test_every_dtype_round_trips_bit_for_bit_also_through_the_library(tmp_path: Path, code: str) -> None:
    tensors = {"a": sample(DTYPES[code], 3, 5), "b": sample(DTYPES[code]), "c": sample(DTYPES[code], 0, 4)}
    path = tmp_path / "a.safetensors"
    write_tensors(path, tensors)
    for read in (read_tensors(path), load_file(path)):
        assert set(read) == set(tensors)
        assert all(same_bits(read[name], tensors[name]) for name in tensors)
    library = tmp_path / "library.safetensors"
    save_file(tensors, library)
    assert all(same_bits(value, tensors[name]) for name, value in read_tensors(library).items())


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20),
        st.tuples(st.sampled_from(sorted(DTYPES)), st.lists(st.integers(0, 5), max_size=4)),
        max_size=6,
    )
)
def test_any_mixture_round_trips(tmp_path_factory: pytest.TempPathFactory, wanted: dict) -> None:
    tensors = {name: sample(DTYPES[code], *shape) for name, (code, shape) in wanted.items()}
    path = tmp_path_factory.mktemp("mix") / "a.safetensors"
    written = write_tensors(path, tensors, {"note": "ü \x00"})
    assert written.size == path.stat().st_size
    read = read_tensors(path)
    assert set(read) == set(tensors)
    assert all(same_bits(read[name], tensors[name]) for name in tensors)
    header = read_header(path)
    assert header.metadata == {"format": "pt", "note": "ü \x00"}
    assert all(item.begin % item.dtype.itemsize == 0 for item in header.tensors.values())


def test_views_that_are_not_contiguous_are_written_as_they_look(tmp_path: Path) -> None:
    matrix = torch.arange(12.0).reshape(3, 4)
    write_tensors(tmp_path / "a", {"t": matrix.t(), "e": torch.ones(1).expand(5)})
    read = read_tensors(tmp_path / "a")
    assert torch.equal(read["t"], matrix.t())
    assert torch.equal(read["e"], torch.ones(5))


def test_more_than_one_chunk_and_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    from hashlib import sha256

    tensor = torch.arange(5_000_000)
    written = write_tensors(tmp_path / "a", {"x": tensor})
    data = (tmp_path / "a").read_bytes()
    assert written == (len(data), sha256(data).hexdigest())
    assert torch.equal(read_tensors(tmp_path / "a")["x"], tensor)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="measures resident memory through /proc")
def test_reading_maps_and_does_not_load(tmp_path: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    write_tensors(tmp_path / "a", {"x": torch.ones(25_000_000)})
    before = resident()
    tensors = read_tensors(tmp_path / "a")
    assert resident() - before < 20_000_000
    tensors["x"][7] = 5.0
    assert read_tensors(tmp_path / "a")["x"][7] == 1.0, "writing to a mapped tensor reached the file"


def test_saving_over_the_file_that_is_mapped_is_safe(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    first = {"x": torch.randn(300_000), "y": torch.arange(9)}
    write_tensors(path, first)
    mapped = read_tensors(path)
    write_tensors(path, mapped)
    assert all(torch.equal(read_tensors(path)[name], first[name]) for name in first)
    write_tensors(path, {"x": torch.zeros(3)})
    assert torch.equal(mapped["x"], first["x"]), "the old data vanished under those who have it mapped"


def test_tied_tensors_are_refused_and_written_once_by_the_callers_choice(tmp_path: Path) -> None:
    weight = torch.randn(4, 3)
    with pytest.raises(CheckpointError, match=r"'embed\.weight' and 'head\.weight' share memory"):
        write_tensors(tmp_path / "a", {"embed.weight": weight, "head.weight": weight})
    with pytest.raises(CheckpointError, match="share memory"):
        write_tensors(tmp_path / "a", {"whole": weight, "row": weight[2]})
    assert not list(tmp_path.iterdir())
    write_tensors(tmp_path / "a", {"upper": weight[:2], "lower": weight[2:]})
    assert torch.equal(read_tensors(tmp_path / "a")["lower"], weight[2:])


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, dtype=torch.complex128),
        torch.eye(3).to_sparse(),
        torch.empty(3, device="meta"),
        [1.0, 2.0],
        None,
    ],
    ids=["complex128", "sparse", "meta", "list", "none"],
)
def test_what_the_format_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path, tensor: object) -> None:
    with pytest.raises(CheckpointError, match="'x' cannot be stored"):
        write_tensors(tmp_path / "a", {"x": tensor})  # type: ignore[dict-item]
    assert not list(tmp_path.iterdir())


def test_unwritable_folder_is_a_disk_error_that_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DiskError, match="file"):
        write_tensors(tmp_path / "file" / "a.safetensors", {"x": torch.ones(1)})


def test_missing_folder_pipe_and_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        read_tensors(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="file"):
        read_tensors(tmp_path)


# Hostile files


def test_h1_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    refused(path, "header length", "0 bytes")


def test_h2_seven_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1234567")
    refused(path, "header length", "7 bytes")


def test_a_pointer_of_git_lfs_is_called_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    refused(path, "Git LFS", "git lfs pull")


@pytest.mark.parametrize("length", [2**64 - 1, 2**63], ids=["h3", "h4"])
def test_h3_h4_gigantic_header_length(tmp_path: Path, length: int) -> None:
    refused(build(tmp_path / "a", {}, length=length), "header length", f"{length:,}")


def test_h5_header_length_zero(tmp_path: Path) -> None:
    refused(build(tmp_path / "a", b"{}", length=0), "header length")


def test_h6_header_longer_than_the_file(tmp_path: Path) -> None:
    refused(build(tmp_path / "a", b"{}   ", length=14), "header length", "14")


def test_h7_header_of_101_megabytes_is_not_read(tmp_path: Path) -> None:
    path = build(tmp_path / "a", b"{", length=101_000_000)
    os.truncate(path, 200_000_000)  # sparse
    assert f"{MAX_HEADER:,}" in refused(path, "header length", "101,000,000")
    tracemalloc.start()
    with pytest.raises(CheckpointError):
        read_header(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_h8_header_that_is_not_utf8(tmp_path: Path) -> None:
    refused(build(tmp_path / "a", b'{"\xff\xfe": 1}'), "header", "utf-8")


@pytest.mark.parametrize("start", [b" ", b"\xef\xbb\xbf", b"\n"])
def test_h9_header_that_starts_with_a_space_or_bom(tmp_path: Path, start: bytes) -> None:
    refused(build(tmp_path / "a", start + b"{}"), "header", "starts with {")


@pytest.mark.parametrize(
    "raw",
    [b"{nonsense}", b"{]", b'{"a":' + b'{"a":' * 100_000, b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"[1, 2]", b"{} {}"],
    ids=["words", "mismatched", "deep objects", "deep lists", "list", "two"],
)  # fmt: skip
def test_h10_header_that_is_not_one_json_object(tmp_path: Path, raw: bytes) -> None:
    refused(build(tmp_path / "a", raw), "header")


def test_h10_header_stuffed_with_containers_is_refused_before_parsing(tmp_path: Path) -> None:
    raw = b'{"a":[' + b"[]," * 5_000_000 + b"[]]}"
    refused(build(tmp_path / "a", raw), "entries")


def test_h11_duplicate_tensor_names(tmp_path: Path) -> None:
    one = json.dumps(entry())
    refused(build(tmp_path / "a", f'{{"x":{one},"x":{one}}}'.encode(), bytes(4)), "'x'", "twice")


def test_h12_duplicate_metadata_and_values_that_are_not_strings(tmp_path: Path) -> None:
    refused(build(tmp_path / "a", b'{"__metadata__":{},"__metadata__":{}}'), "__metadata__", "twice")
    refused(build(tmp_path / "b", {"__metadata__": {"n": 1}}), "__metadata__")
    refused(build(tmp_path / "c", {"__metadata__": ["n"]}), "__metadata__")
    refused(build(tmp_path / "d", b'{"__metadata__":{"a":"1","a":"2"}}'), "'a'", "twice")


@pytest.mark.parametrize(
    "offsets",
    [[4, 0], [-4, 0], [0.0, 4.0], ["0", "4"], [0, True], [0], [0, 4, 8], None, {"0": 4}, [0, 2**64]],
    ids=str,
)
def test_h13_offsets_that_are_no_range(tmp_path: Path, offsets: object) -> None:
    refused(build(tmp_path / "a", {"x": entry(offsets=offsets)}, bytes(4)), "'x', data_offsets")


def test_h13_offset_beyond_all_floats(tmp_path: Path) -> None:
    raw = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,1e400]}}'
    refused(build(tmp_path / "a", raw, bytes(4)), "header")
    raw = raw.replace(b"1e400", b"9" * 6000)
    refused(build(tmp_path / "b", raw, bytes(4)), "header")


def test_h14_overlapping_ranges(tmp_path: Path) -> None:
    refused(build(tmp_path / "a", {"x": entry(), "y": entry()}, bytes(4)), "data_offsets", "overlaps")
    refused(
        build(tmp_path / "b", {"x": entry(shape=[2], offsets=[0, 8]), "y": entry(offsets=[4, 8])}, bytes(8)),
        "overlaps",
    )
    path = build(tmp_path / "c", {f"t{index}": entry() for index in range(100_000)}, bytes(4))
    with pytest.raises(CheckpointError, match="overlaps"):
        read_header(path)


def test_h15_holes_and_bytes_that_belong_to_nothing(tmp_path: Path) -> None:
    refused(build(tmp_path / "a", {"x": entry(offsets=[4, 8])}, bytes(8)), "'x'", "hole")
    refused(build(tmp_path / "b", {"x": entry(), "y": entry(offsets=[8, 12])}, bytes(12)), "'y'", "hole")
    refused(build(tmp_path / "c", {"x": entry()}, bytes(4) + b"PK\x03\x04"), "file length", "after the last")
    refused(build(tmp_path / "d", {}, b"<html>"), "file length", "after the last")
    refused(build(tmp_path / "e", {"x": entry()}, bytes(3)), "file length", "cut short")


@pytest.mark.parametrize("shape", [[2**32, 2**32], [2**62, 2], [2**16] * 32], ids=str)
def test_h16_shapes_whose_product_overflows(tmp_path: Path, shape: list[int]) -> None:
    refused(build(tmp_path / "a", {"x": entry(shape=shape)}, bytes(4)), "'x', shape")


def test_h16_shape_with_a_million_axes(tmp_path: Path) -> None:
    refused(build(tmp_path / "a", {"x": entry(shape=[2**62] * 500_000)}, bytes(4)), "'x', shape")


@pytest.mark.parametrize("shape", [[0, 2**62], [2**62, 0, 2**62], [-1], [1.0], ["1"], [True], "1", None], ids=str)
def test_h17_shapes_with_zero_and_huge_or_wrong_sizes(tmp_path: Path, shape: object) -> None:
    refused(build(tmp_path / "a", {"x": entry(shape=shape, offsets=[0, 0])}), "'x', shape")


@pytest.mark.parametrize("dtype", ["F7", "f32", "F4", "F6_E2M3", "", None, 3, ["F32"], {}], ids=str)
def test_h18_dtypes_that_are_unknown_or_smaller_than_a_byte(tmp_path: Path, dtype: object) -> None:
    refused(build(tmp_path / "a", {"x": entry(dtype=dtype, shape=[3])}, bytes(4)), "'x', dtype")


@pytest.mark.parametrize(
    "fields",
    [entry("F64"), entry(shape=[2]), entry(offsets=[0, 3]), entry(shape=[]) | {"data_offsets": [0, 8]}],
)
def test_h19_dtype_shape_and_bytes_that_disagree(tmp_path: Path, fields: dict) -> None:
    refused(build(tmp_path / "a", {"x": fields}, bytes(fields["data_offsets"][1])), "'x', data_offsets")


@pytest.mark.parametrize("fields", [{}, [], "x", None, entry() | {"more": 1}, {"dtype": "F32"}], ids=str)
def test_h19_entries_that_are_no_entries(tmp_path: Path, fields: object) -> None:
    refused(build(tmp_path / "a", {"x": fields}, bytes(4)), "'x'", "exactly dtype, shape and data_offsets")


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/x", "..\\x", "a\0b", "a\nb", "a" * 1_000_000, "\x1b[31mred", "a\u202eb", ""],
    ids=["up", "inner", "absolute", "windows", "nul", "newline", "long", "ansi", "bidi", "empty"],
)
def test_h20_names_that_could_do_harm(tmp_path: Path, name: str) -> None:
    refused(build(tmp_path / "a", {name: entry()}, bytes(4)), "tensor ", "name")
    with pytest.raises(CheckpointError, match="cannot be called"):
        write_tensors(tmp_path / "b", {name: torch.ones(1)})
    assert not (tmp_path / "b").exists()


def test_h20_a_tensor_of_nan_is_read_as_it_is(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", {"x": torch.full((3,), torch.nan)})
    assert read_tensors(tmp_path / "a")["x"].isnan().all()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_h46_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    refused(tmp_path / "a", "regular file")


def test_h52_a_file_swapped_between_check_and_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from polyhead.checkpoint import tensors as module

    path, other = tmp_path / "a", tmp_path / "other"
    write_tensors(path, {"x": torch.ones(2)})
    write_tensors(other, {"x": torch.zeros(2)})
    genuine = module.safe_open

    def swap(*arguments: object, **options: object) -> object:
        os.replace(other, path)
        return genuine(*arguments, **options)

    monkeypatch.setattr(module, "safe_open", swap)
    with pytest.raises(CheckpointError, match="sound safetensors file"):
        read_tensors(path)


def test_random_damage_to_a_header_never_escapes_as_another_error(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_tensors(path, {"x.weight": torch.ones(3, 2), "y": torch.ones(2, dtype=torch.int8)})
    sound = path.read_bytes()
    generator = torch.Generator().manual_seed(0)
    end = 8 + int.from_bytes(sound[:8], "little")
    caught = 0
    for _ in range(500):
        data = bytearray(sound)
        for _ in range(int(torch.randint(1, 4, (), generator=generator))):
            data[int(torch.randint(0, end, (), generator=generator))] = int(
                torch.randint(0, 256, (), generator=generator)
            )
        path.write_bytes(data)
        try:
            read_tensors(path)
        except CheckpointError:
            caught += 1
    assert caught > 350
