"""Pictures: folders of folders, idx files, .npz and columns; and files that promise what they do not hold."""

from __future__ import annotations

import gzip
import io
import os
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhead.data import hub, open_source, pack
from polyhead.data.images import pixels, read_images
from polyhead.data.tally import Tally
from polyhead.errors import ConfigError, DataError

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


def picture(height: int = 6, width: int = 5, colour: bool = True) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3) if colour else (height, width), dtype=np.uint8)


def save(path: Path, image: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return image


def idx(path: Path, array: np.ndarray, head: bytes | None = None, packed: bool = True) -> Path:
    head = head or bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes()) if packed else head + array.tobytes())
    return path


def both(folder: Path, images: np.ndarray, labels: np.ndarray, part: str = "train", packed: bool = True) -> Path:
    end = ".gz" if packed else ""
    idx(folder / f"{part}-labels-idx1-ubyte{end}", labels, packed=packed)
    return idx(folder / f"{part}-images-idx3-ubyte{end}", images, packed=packed)


IMAGES, LABELS = RNG.integers(0, 256, (7, 4, 5), dtype=np.uint8), np.array([3, 1, 4, 1, 5, 9, 2], np.uint8)


def all_of(source) -> tuple[np.ndarray, list[str]]:
    records = list(source.examples())
    return np.stack([record.image for record in records]), [record.label for record in records]


# -- folders ------------------------------------------------------------------------------------------------------


def test_folders_are_classes(tmp_path: Path) -> None:
    made = {name: save(tmp_path / name, picture()) for name in ("rose/b.png", "rose/a.PNG", "tulip/deep/er/1.bmp", "iris/x.png")}
    (tmp_path / "rose" / "notes.txt").write_text("red")
    save(tmp_path / "rose" / ".hidden.png", picture())
    source = open_source(tmp_path)
    found = {record.name: (record.label, record.image) for record in source.examples()}
    assert source.kind == "images" and set(found) == set(made)
    for name, image in made.items():
        assert found[name][0] == name.split("/")[0] and (found[name][1] == image).all()
    assert "4 pictures" in source.notes[0] and "3 classes" in source.notes[0] and "1 other files" in source.notes[1]
    assert list(source.texts()) == []


def test_a_folder_for_each_part(tmp_path: Path) -> None:
    for part, n in (("train", 3), ("val", 2)):
        for label in "ab":
            for i in range(n):
                save(tmp_path / part / label / f"{i}.png", picture())
    assert open_source(tmp_path).survey().documents == 6 and "the folder train" in open_source(tmp_path).notes[0]
    assert open_source(tmp_path, part="validation").survey().documents == 4
    with pytest.raises(DataError, match="no part 'test'"):
        open_source(tmp_path, part="test")
    save(tmp_path / "car" / "0.png", picture())  # now a train is a class, as a car is
    assert {one.label for one in open_source(tmp_path).examples()} == {"train", "val", "car"}


def test_grey_stays_grey_and_one_colour_makes_all_coloured(tmp_path: Path) -> None:
    for label in "ab":
        save(tmp_path / label / "0.png", picture(colour=False))
    assert all_of(open_source(tmp_path))[0].shape == (2, 6, 5)
    save(tmp_path / "b" / "1.png", picture())
    assert all_of(open_source(tmp_path))[0].shape == (3, 6, 5, 3)


def test_sixteen_bits_and_palettes(tmp_path: Path) -> None:
    deep = np.array([[0, 256, 65535]], np.uint16)
    for label in "ab":
        (tmp_path / label).mkdir()
        Image.fromarray(deep).save(tmp_path / label / "0.png")
    assert all_of(open_source(tmp_path))[0][0].tolist() == [[0, 1, 255]]
    Image.fromarray(picture(1, 3)).convert("P").save(tmp_path / "a" / "1.png")
    assert all_of(open_source(tmp_path))[0].shape == (3, 1, 3, 3)


def test_sizes_must_be_equal_or_asked_for(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png", picture(6, 5)), save(tmp_path / "b" / "1.png", picture(9, 7))
    with pytest.raises(DataError, match="several sizes") as caught:
        open_source(tmp_path).survey()
    assert "6×5" in str(caught.value) and "b/1.png" in str(caught.value) and "image_size" in str(caught.value)
    assert all_of(open_source(tmp_path, image_size=8))[0].shape == (2, 8, 8, 3)
    assert all_of(open_source(tmp_path, image_size=(3, 4)))[0].shape == (2, 3, 4, 3)
    for wrong in (0, -3, "8", (1, 2, 3), 1.5, 10**6):
        with pytest.raises(ConfigError, match="image_size"):
            open_source(tmp_path, image_size=wrong)


def test_a_size_changes_what_a_cached_result_depends_on(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png", picture()), save(tmp_path / "b" / "1.png", picture())
    assert open_source(tmp_path).identity() != open_source(tmp_path, image_size=4).identity()


def test_text_folders_stay_text(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("hello"), (tmp_path / "b.md").write_text("world"), (tmp_path / "c.md").write_text("!")
    save(tmp_path / "images" / "0.png", picture()), save(tmp_path / "figures" / "0.png", picture())
    assert open_source(tmp_path).kind == "text"
    assert open_source(tmp_path, kind="images").survey().documents == 2


def test_no_class_folders(tmp_path: Path) -> None:
    save(tmp_path / "0.png", picture())
    with pytest.raises(DataError, match="no pictures in folders"):
        open_source(tmp_path, kind="images")
    with pytest.raises(DataError, match="a class each"):
        open_source(tmp_path / "0.png", kind="images")


def bomb() -> bytes:
    """A PNG of 9,000 × 9,000 in 80 kB: Pillow alone would only warn."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 9_000, 9_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(9_001 * 9_000))) + chunk(b"IEND", b"")


def hostile() -> dict[str, bytes]:
    out, other = io.BytesIO(), io.BytesIO()
    Image.fromarray(picture(40, 40)).save(out, "PNG")
    Image.fromarray(picture(40, 40)).save(other, "PCX")
    whole = out.getvalue()
    return {"bomb.png": bomb(), "format.png": other.getvalue(), "cut.png": whole[: len(whole) // 2], "empty.png": b"", "text.png": b"hello", "magic.jpg": b"\xff\xd8\xff" + bytes(50),
            "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "crc.png": whole[:30] + b"x" + whole[31:]}  # fmt: skip


@pytest.mark.parametrize("name", hostile())
def test_a_hostile_picture_is_counted_and_named(tmp_path: Path, name: str) -> None:
    for i in range(3):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", picture())
    (tmp_path / "b" / name).write_bytes(hostile()[name])
    with pytest.raises(DataError, match="1 of 4 rows are broken") as caught:
        open_source(tmp_path).survey()
    assert f"b/{name}" in str(caught.value) and ("9000×9000" in str(caught.value)) == (name == "bomb.png")
    source = open_source(tmp_path, max_bad=0.5)
    assert len(all_of(source)[1]) == 3 and any(name in note for note in source.notes)


def test_without_pillow_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a" / "0.png", picture()), save(tmp_path / "b" / "1.png", picture())
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match="need Pillow"):
        open_source(tmp_path)


def test_folders_in_folders_in_folders(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["train"] * 300)
    save(deep / "0.png", picture())
    with pytest.raises(DataError):
        pack(open_source(tmp_path, kind="images"), None, tmp_path / "x.examples")
    save(tmp_path / "train" / "b" / "1.png", picture())
    assert {one.label for one in open_source(tmp_path).examples()} == {"train", "b"}


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png", picture()), save(tmp_path / "b" / "1.png", picture())
    os.mkfifo(tmp_path / "b" / "2.png")
    with pytest.raises(DataError, match="a device or pipe"):
        open_source(tmp_path).survey()


# -- idx ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_find_their_labels(tmp_path: Path, packed: bool) -> None:
    path = both(tmp_path, IMAGES, LABELS, packed=packed)
    for where in (path, tmp_path, path.with_name(path.name.replace("images-idx3", "labels-idx1")), path.with_suffix("") if packed else path):
        images, labels = all_of(open_source(where))
        assert (images == IMAGES).all() and labels == [str(label) for label in LABELS]


def test_parts_of_a_folder(tmp_path: Path) -> None:
    both(tmp_path, IMAGES, LABELS), both(tmp_path, IMAGES[:3], LABELS[:3], "t10k")
    assert open_source(tmp_path).survey().documents == 7 and "t10k" in open_source(tmp_path).notes[1]
    assert open_source(tmp_path, part="test").survey().documents == 3
    with pytest.raises(DataError, match="(?s)no part .validation.*train-images"):
        open_source(tmp_path, part="validation")


def test_idx_in_colour_and_resized(tmp_path: Path) -> None:
    both(tmp_path, np.stack([IMAGES] * 3, 3), LABELS)
    assert all_of(open_source(tmp_path, image_size=8))[0].shape == (7, 8, 8, 3)


HEADS = {
    "10^12": bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 28, 28),
    "great": bytes([0, 0, 8, 3]) + struct.pack(">3I", 1, 2**20, 2**20),
    "more": bytes([0, 0, 8, 3]) + struct.pack(">3I", 8, 4, 5),
    "fewer": bytes([0, 0, 8, 3]) + struct.pack(">3I", 6, 4, 5),
    "empty": bytes([0, 0, 8, 3]) + struct.pack(">3I", 7, 0, 5),
    "float": bytes([0, 0, 13, 3]) + struct.pack(">3I", 7, 4, 5),
    "magic": b"\x89PNG" + struct.pack(">3I", 7, 4, 5),
    "dimensions": bytes([0, 0, 8, 200]) + struct.pack(">3I", 7, 4, 5),
    "cut": bytes([0, 0]),
}


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", HEADS)
def test_an_idx_header_is_not_believed(tmp_path: Path, name: str, packed: bool) -> None:
    path = both(tmp_path, IMAGES, LABELS, packed=packed)
    idx(path, IMAGES if name != "cut" else IMAGES[:0], HEADS[name], packed)
    with pytest.raises(DataError, match="images-idx3"):
        open_source(path).survey()
    if name in ("10^12", "great"):  # refused by its size, before anything is read
        with pytest.raises(DataError, match="promises what it does not hold"):
            open_source(path)


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    path = both(tmp_path, IMAGES, LABELS[:5])
    with pytest.raises(DataError, match="do not belong together"):
        open_source(path)
    path.with_name("train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="labels-idx1-ubyte.gz does not exist"):
        open_source(path)


def test_an_idx_file_that_ends_early_or_goes_on(tmp_path: Path) -> None:
    path = both(tmp_path, IMAGES, LABELS)
    whole = path.read_bytes()
    path.write_bytes(whole[:-12])
    with pytest.raises(DataError, match="cannot read|ends within"):
        open_source(path).survey()
    path.write_bytes(whole + gzip.compress(b"more"))
    with pytest.raises(DataError, match="more than its header says"):
        open_source(path).survey()


# -- npz ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("x", "y"), [("x_train", "y_train"), ("images", "labels"), ("train_images", "train_labels"), ("X", "y")])
def test_npz_under_its_usual_names(tmp_path: Path, x: str, y: str) -> None:
    np.savez_compressed(tmp_path / "d.npz", **{x: IMAGES, y: LABELS.astype(np.int64), "x_test": IMAGES[:2], "y_test": LABELS[:2]})
    images, labels = all_of(open_source(tmp_path / "d.npz"))
    assert (images == IMAGES).all() and labels == [str(label) for label in LABELS]
    assert open_source(tmp_path / "d.npz", part="test").survey().documents == 2


def test_npz_layouts(tmp_path: Path) -> None:
    colour = np.stack([IMAGES] * 3, 3)
    for images, shape in ((colour, (7, 4, 5, 3)), (colour.transpose(0, 3, 1, 2), (7, 4, 5, 3)), (IMAGES[..., None], (7, 4, 5)), (IMAGES[:, None], (7, 4, 5))):
        np.savez(tmp_path / "d.npz", images=np.ascontiguousarray(images), labels=np.array([["cat"]] * 7))
        found, labels = all_of(open_source(tmp_path / "d.npz"))
        assert found.shape == shape and labels == ["cat"] * 7 and (found.reshape(7, 4, 5, -1)[..., 0] == IMAGES).all()
    np.savez(tmp_path / "d.npz", one=IMAGES, two=LABELS)
    assert open_source(tmp_path / "d.npz", columns=("one", "two")).survey().documents == 7


BAD_ARRAYS = {
    "which arrays": {"a": IMAGES},
    "do not belong together": {"x": IMAGES, "y": LABELS[:4]},
    "holds no pictures": {"x": IMAGES.astype(np.float32), "y": LABELS},
    "holds no pictures ": {"x": LABELS, "y": LABELS},
    "possible size": {"x": np.zeros((7, 4, 5, 2), np.uint8), "y": LABELS},
    "holds no classes": {"x": IMAGES, "y": LABELS.astype(np.float64)},
    "holds no classes ": {"x": IMAGES, "y": IMAGES},
    "not an array polyhead reads": {"x": np.asfortranarray(IMAGES), "y": LABELS},
    "not an array polyhead reads ": {"x": IMAGES, "y": np.array([None] * 7)},
}


@pytest.mark.parametrize("why", BAD_ARRAYS)
def test_arrays_that_are_refused(tmp_path: Path, why: str) -> None:
    np.savez(tmp_path / "d.npz", **BAD_ARRAYS[why])
    with pytest.raises(DataError, match=why.strip()):
        open_source(tmp_path / "d.npz").survey()


def npy(shape: tuple[int, ...], data: bytes, descr: str = "|u1") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + data


BAD_NPY = {
    "promises": npy((10**12, 28, 28), b"x" * 99),
    "promises ": npy((7, 4, 5), b"x" * 139),
    "cannot be read": npy((7, 4, 5), b"x", "no such type"),
    "cannot be read ": b"\x93NUMPY\1\0\xff\xff" + b"x" * 65535,
    "cannot be read  ": b"hello",
    "not an array polyhead": npy((7, -4, 5), b"x"),
    "not an array polyhead ": npy((), b"x"),
}


@pytest.mark.parametrize("why", BAD_NPY)
def test_a_header_in_an_npz_is_not_believed(tmp_path: Path, why: str) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("x.npy", BAD_NPY[why])
        archive.writestr("y.npy", npy((7,), bytes(7)))
    with pytest.raises(DataError, match=why.strip()):
        open_source(tmp_path / "d.npz").survey()


def test_an_npz_that_is_none_or_damaged(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(b"hello")
    with pytest.raises(DataError, match="cannot read"):
        open_source(tmp_path / "d.npz")
    np.savez(tmp_path / "d.npz", x=IMAGES, y=LABELS)
    whole = bytearray((tmp_path / "d.npz").read_bytes())
    whole[300] ^= 255
    (tmp_path / "d.npz").write_bytes(bytes(whole))
    with pytest.raises(DataError):
        open_source(tmp_path / "d.npz").survey()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6), cut=st.integers(0, 60), which=st.sampled_from("izg"))
def test_damaged_bytes_are_refused_or_read(tmp_path: Path, places: list, cut: int, which: str) -> None:
    if which == "z":
        path = tmp_path / "d.npz"
        np.savez(path, x=IMAGES, y=LABELS)
    else:
        path = both(tmp_path, IMAGES, LABELS, packed=which == "g")
    data = bytearray(path.read_bytes())
    for place, value in places:
        data[place % len(data)] = value
    path.write_bytes(bytes(data[: len(data) - cut]))
    try:
        images, labels = all_of(open_source(path, kind="images"))
    except DataError:
        return
    finally:
        path.unlink()
    assert len(images) == len(labels)


# -- columns ------------------------------------------------------------------------------------------------------


def test_pictures_in_a_table(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = []
    for i in range(4):
        out = io.BytesIO()
        image = picture(colour=False)
        Image.fromarray(image).save(out, "PNG")
        rows.append({"image": {"bytes": out.getvalue(), "path": "x.png"}, "label": i % 2})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    source = open_source(tmp_path / "d.parquet")
    images, labels = all_of(source)
    assert source.kind == "images" and images.shape == (4, 6, 5) and labels == ["0", "1", "0", "1"]
    rows[1]["image"]["bytes"] = b"broken"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "d.parquet")
    with pytest.raises(DataError, match="not a whole picture"):
        open_source(tmp_path / "d.parquet").survey()


def test_a_table_of_names_of_pictures_says_where_pictures_go(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,label\na.png,cat\nb.png,dog\n")
    with pytest.raises(DataError, match="not clear") as caught:
        open_source(tmp_path / "a.csv", kind="images")
    assert "a folder for each class" in str(caught.value.change)


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    save(tmp_path / "a.png", picture())
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"image": [str(tmp_path / "a.png"), str(tmp_path / "none.png")], "label": [0, 1]}
    data = datasets.Dataset.from_dict(rows, features=features)
    with pytest.raises(DataError, match="pets row 2 names a file that is not there") as caught:
        list(hub.rows_of(data, "pets", None, Tally(0.0)))
    assert "none.png" in str(caught.value.received)
    with pytest.raises(DataError, match="there is no picture") as caught:
        pixels(str(tmp_path / "none.png"), read_images({"image_processor_type": "ViTImageProcessor"}))
    assert "Errno" not in str(caught.value)


def test_pictures_of_a_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    made = [Image.fromarray(picture(colour=False)) for _ in range(4)]
    datasets.Dataset.from_dict({"image": made, "label": [0, 1, 1, 0]}, features=features).save_to_disk(str(tmp_path / "d"))
    images, labels = all_of(open_source(tmp_path / "d"))
    assert (images == np.stack([np.asarray(one) for one in made])).all() and labels == ["cat", "dog", "dog", "cat"]


@pytest.mark.skipif("PH_DATA" not in os.environ, reason="PH_DATA names the folder with the public sets")
def test_fashion_mnist() -> None:
    train, valid = open_source(Path(os.environ["PH_DATA"], "fashion_mnist")).holdout(0.1)
    first = next(iter(train.examples()))
    assert train.kind == "images" and first.image.shape == (28, 28) and train.survey().documents == 60_000


def test_pictures_of_any_size_are_read_and_not_packed(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path / "p" / "ab"[i % 2] / f"{i}.png", np.zeros((3 + i, 5), np.uint8))
    source = open_source(tmp_path / "p", image_size="any")
    assert sorted(one.image.shape[0] for one in source.examples()) == [3, 4, 5, 6]
    with pytest.raises(DataError, match="several sizes"):
        pack(source, None, tmp_path / "packed")
