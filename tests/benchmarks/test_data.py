"""Finding, fetching and checking data sets; made-up idx files, and the real ones where they lie."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import struct
from pathlib import Path

import pytest

from benchmarks.datasets import decoded, loading
from benchmarks.datasets.catalogue import DATA_SETS, File, image_set
from benchmarks.datasets.files import DatasetUnavailable, WrongChecksum
from benchmarks.datasets.loading import read
from benchmarks.tasks import registry as tasks
from estimators.info import Value

TRAIN = struct.pack(">IIII", 0x0803, 3, 2, 2) + bytes(range(12))
TEST = struct.pack(">IIII", 0x0803, 1, 2, 2) + bytes([255, 0, 128, 7])
MADE_UP = image_set(
    id="made_up",
    title="Made up",
    pixels=4,
    train=File(name="train.gz", sha256=hashlib.sha256(TRAIN).hexdigest(), examples=3),
    test=File(name="test.gz", sha256=hashlib.sha256(TEST).hexdigest(), examples=1),
    mirrors=("https://first.invalid/", "https://second.invalid/"),
)


def store(folder: Path, train: bytes = TRAIN, *, level: int = 9) -> Path:
    """Both files, as a mirror with its own compression level would have them."""
    (folder / "made_up").mkdir(parents=True, exist_ok=True)
    (folder / "made_up" / "train.gz").write_bytes(gzip.compress(train, level))
    (folder / "made_up" / "test.gz").write_bytes(gzip.compress(TEST, level))
    return folder


def no_network(url: str, target: Path) -> None:
    raise OSError("no route")


@pytest.mark.parametrize("level", [1, 9])
def test_the_data_directory_comes_first_and_compression_does_not_matter(tmp_path: Path, level: int) -> None:
    images = read(
        MADE_UP, data_dir=store(tmp_path / "d", level=level), cache=tmp_path / "c", fetch=no_network
    )
    assert images.train.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert images.test.tolist() == [[255, 0, 128, 7]]


def test_the_cache_comes_second(tmp_path: Path) -> None:
    images = read(MADE_UP, data_dir=tmp_path / "empty", cache=store(tmp_path / "c"), fetch=no_network)
    assert len(images.train) == 3


def test_mirrors_come_last_and_a_bad_one_is_passed_over(tmp_path: Path) -> None:
    """The first mirror is cut short, the second is right; the cache is filled and used from then on."""
    asked = []

    def fetch(url: str, target: Path) -> None:
        asked.append(url)
        content = gzip.compress(TRAIN if "train" in url else TEST)
        target.write_bytes(content[:-9] if "first" in url else content)

    for fetcher in (fetch, no_network):
        images = read(MADE_UP, data_dir=None, cache=tmp_path, fetch=fetcher)
        assert len(images.train) == 3
    assert asked == [
        f"https://{host}.invalid/{f}.gz" for f in ("train", "test") for host in ("first", "second")
    ]
    assert sorted(p.name for p in (tmp_path / "made_up").iterdir()) == ["test.gz", "train.gz"]
    assert not list(tmp_path.rglob("*.part"))


def test_a_missing_data_set_says_where_it_was_sought_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailable) as caught:
        read(MADE_UP, data_dir=tmp_path / "d", cache=tmp_path / "c", fetch=no_network)
    message = str(caught.value)
    for part in (
        f"{tmp_path}/d/made_up/train.gz: no such file",
        f"{tmp_path}/c/made_up/train.gz: no such file",
        "https://first.invalid/train.gz: no route",
        "https://second.invalid/train.gz: no route",
        "HEUNBOARD_DATA_DIR=<dir>",
    ):
        assert part in message


def test_a_wrong_file_is_refused_by_name(tmp_path: Path) -> None:
    folder = store(tmp_path, TRAIN[:-1] + b"!")
    with pytest.raises(WrongChecksum, match=rf"{tmp_path}/made_up/train\.gz is not the train\.gz"):
        read(MADE_UP, data_dir=folder, cache=tmp_path / "c", fetch=no_network)
    (tmp_path / "made_up" / "train.gz").write_bytes(gzip.compress(TRAIN)[:-9])
    with pytest.raises(WrongChecksum, match=r"made_up/train\.gz cannot be read as gzip"):
        read(MADE_UP, data_dir=folder, cache=tmp_path / "c", fetch=no_network)


@pytest.mark.parametrize("content", [TRAIN[:-1], b"\0\0\x08\x01" + TRAIN[4:]])
def test_content_that_is_not_images_is_refused(tmp_path: Path, content: bytes) -> None:
    odd = image_set(
        id="made_up",
        title="Not images",
        pixels=4,
        train=File(name="train.gz", sha256=hashlib.sha256(content).hexdigest(), examples=3),
        test=MADE_UP.test,
        mirrors=(),
    )
    with pytest.raises(ValueError, match="not an idx file of images"):
        read(odd, data_dir=store(tmp_path, content), cache=tmp_path / "c", fetch=no_network)


def no_decoding(_content: bytes) -> decoded.Bytes:
    raise AssertionError("decoded again")


def test_what_was_decoded_is_shared_and_bits_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache = store(tmp_path / "d"), tmp_path / "c"
    first = read(MADE_UP, data_dir=folder, cache=cache, fetch=no_network)
    monkeypatch.setattr(loading, "_decode", no_decoding)
    second = read(MADE_UP, data_dir=folder, cache=cache, fetch=no_network)
    for images in (first, second):
        assert images.train.numpy().tobytes() == TRAIN[16:]
        assert images.test.numpy().tobytes() == TEST[16:]
    second.train.zero_()  # copy-on-write: nobody else sees it
    assert first.train.numpy().tobytes() == TRAIN[16:]
    third = read(MADE_UP, data_dir=folder, cache=cache, fetch=no_network)
    assert third.train.numpy().tobytes() == TRAIN[16:]


def test_a_file_that_has_changed_is_checked_although_the_right_one_was_decoded(tmp_path: Path) -> None:
    cache = tmp_path / "c"
    read(MADE_UP, data_dir=store(tmp_path / "d"), cache=cache, fetch=no_network)
    changed = store(tmp_path / "d", TRAIN[:-1] + b"!")
    with pytest.raises(WrongChecksum, match=r"made_up/train\.gz is not the train\.gz"):
        read(MADE_UP, data_dir=changed, cache=cache, fetch=no_network)


def test_content_that_is_wanted_no_more_is_refused_although_it_was_decoded(tmp_path: Path) -> None:
    folder, cache = store(tmp_path / "d"), tmp_path / "c"
    read(MADE_UP, data_dir=folder, cache=cache, fetch=no_network)
    wanted = dataclasses.replace(MADE_UP.train, sha256="0" * 64)
    with pytest.raises(WrongChecksum):
        read(dataclasses.replace(MADE_UP, train=wanted), data_dir=folder, cache=cache, fetch=no_network)


def test_availability_is_a_yes_or_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATA_SETS, "made_up", MADE_UP)
    monkeypatch.setenv("HEUNBOARD_DATA_DIR", str(store(tmp_path / "there")))
    assert loading.is_available("made_up")
    wrong = store(tmp_path / "wrong", TRAIN[:-1] + b"!")
    assert not loading.is_available("made_up", data_dir=wrong)


MD5 = {  # as published for the decompressed files
    "mnist": ("6bbc9ace898e44ae57da46a324031adb", "2646ac647ad5339dbf082846283269ea"),
    "fashion_mnist": ("f4a8712d7a061bf5bd6d2ca38dc4d50a", "8181f5470baa50b63fa0f6fddb340f0a"),
}


@pytest.mark.data
@pytest.mark.usefixtures("real_data_dir")
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_real_files_have_the_published_checksums_and_the_sizes_of_the_catalogue(name: str) -> None:
    images, data = loading.load(name), DATA_SETS[name]
    assert images.train.shape == (data.train.examples, data.pixels)
    assert images.test.shape == (data.test.examples, data.pixels)
    for pixels, md5 in zip((images.train, images.test), MD5[name], strict=True):
        header = struct.pack(">IIII", 0x0803, len(pixels), 28, 28)
        assert hashlib.md5(header + pixels.numpy().tobytes(), usedforsecurity=False).hexdigest() == md5


def test_the_catalogue_is_what_a_sweep_may_name_and_how_long_an_epoch_is() -> None:
    vae = tasks.get("categorical_vae")
    parameter = vae.parameter("dataset")
    assert parameter is not None
    assert parameter.choices == tuple(DATA_SETS)
    for id, data in DATA_SETS.items():
        values: dict[str, Value] = {p.name: p.default for p in vae.parameters if p.default is not None}
        values |= {"dataset": id, "batch_size": 7_000}
        assert vae.splits(values) == {"train": data.train.examples, "test": data.test.examples}
        # Eight minibatches of 7,000 and one of 4,000; of Omniglot three and one of 3,345.
        assert vae.steps_per_epoch(values) == (4 if id == "omniglot_rebuilt" else 9)
        assert data.title in vae.describe(values)
