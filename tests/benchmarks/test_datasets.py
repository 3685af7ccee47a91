"""Labels, archives and tables; which data sets are here; digests in keys."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import struct
import tarfile
from pathlib import Path

import pytest

from benchmarks.datasets import files, labelled, loading, nats_bench
from benchmarks.datasets.catalogue import CATALOGUE, DATA_SETS, DataSet, File
from benchmarks.datasets.files import DatasetUnavailable
from benchmarks.datasets.inventory import fetch, inventory
from benchmarks.spec import Component, digest
from benchmarks.tasks import registry

TEXT = b"what everybody has"
SMALL = DataSet(
    id="small",
    title="Small",
    files=(File(name="text.gz", sha256=hashlib.sha256(TEXT).hexdigest(), examples=1),),
    mirrors=("https://first.invalid/",),
)


def test_labels_are_the_bytes_behind_the_header() -> None:
    content = struct.pack(">II", 0x0801, 4) + bytes([3, 0, 9, 1])
    assert loading._labels(content).tolist() == [3, 0, 9, 1]
    with pytest.raises(ValueError, match="not an idx file of labels"):
        loading._labels(content[:-1])


@pytest.mark.parametrize(("name", "labels"), [("cifar10", 1), ("cifar100", 2)])
def test_cifar_records_are_labels_and_pixels(name: str, labels: int) -> None:
    """The last label is the fine one; images of all training members follow each other."""
    members, test, _ = labelled._MEMBERS[name]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for number, member in enumerate((*members, test)):
            record = bytes([99] * (labels - 1) + [number]) + bytes([number + 100]) * 3072
            info = tarfile.TarInfo(member)
            info.size = len(record)
            tar.addfile(info, io.BytesIO(record))
    images = labelled.from_archive(name, buffer.getvalue())
    assert images.train_labels.tolist() == list(range(len(members)))
    assert images.test_labels.tolist() == [len(members)]
    assert images.train[:, 0].tolist() == [100 + i for i in range(len(members))]
    assert images.test.shape == (1, 3072)
    assert images.channels == 3


def test_a_data_set_without_labels_says_so() -> None:
    with pytest.raises(ValueError, match="listops has no labelled images; there are mnist"):
        labelled.load("listops")


def test_the_table_of_nats_bench_comes_with_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15,625 cells; the best test accuracies are those of the literature."""
    monkeypatch.setattr(files, "cache_dir", lambda: tmp_path)
    monkeypatch.delenv("HEUNBOARD_DATA_DIR", raising=False)
    table = nats_bench.load()
    assert len(table) == 5**6
    best = [
        max(row[column] for row in table.values())
        for column in ("cifar10_test", "cifar100_test", "imagenet16_120_test")
    ]
    assert [round(value, 2) for value in best] == [94.37, 73.51, 47.31]
    assert next(iter(table)).startswith("|avg_pool_3x3~0|+|nor_conv_1x1~0|")


def test_an_inventory_tells_here_right_wrong_and_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "cache_dir", lambda: tmp_path / "cache")
    (entry,) = inventory(SMALL, check=True, data_dir=tmp_path)
    assert (entry.state, entry.path) == ("missing", None)
    path = tmp_path / "small" / "text.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(TEXT))
    (entry,) = inventory(SMALL, check=False, data_dir=tmp_path)
    assert (entry.state, entry.path, entry.bytes) == ("here", path, path.stat().st_size)
    (entry,) = inventory(SMALL, check=True, data_dir=tmp_path)
    assert entry.state == "right"
    path.write_bytes(TEXT[:-1])
    (entry,) = inventory(SMALL, check=True, data_dir=tmp_path)
    assert entry.state == "wrong"
    assert f"{path} is not the text.gz" in entry.message


def test_content_may_lie_there_without_compression(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "text.gz").write_bytes(TEXT)
    assert files.content(SMALL, SMALL.files[0], data_dir=tmp_path) == TEXT


def test_fetching_asks_mirrors_and_then_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(url: str, target: Path) -> None:
        asked.append(url)
        if "first" in url:
            raise OSError("no route")
        target.write_bytes(TEXT)

    file = dataclasses.replace(SMALL.files[0], addresses=("https://second.invalid/as-it-is.txt",))
    data_set = dataclasses.replace(SMALL, files=(file,))
    path = files.obtained(data_set, file, data_dir=None, cache=tmp_path, fetch=answer)
    assert asked == ["https://first.invalid/text.gz", "https://second.invalid/as-it-is.txt"]
    assert path == tmp_path / "small" / "text.gz"
    assert path.read_bytes() == TEXT


def test_what_cannot_be_fetched_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "cache_dir", lambda: tmp_path)
    with pytest.raises(DatasetUnavailable, match=r"Put text\.gz into <dir>/small/ and set"):
        fetch(dataclasses.replace(SMALL, mirrors=()))


def test_a_stand_in_s_digest_is_part_of_a_key_and_a_canonical_one_is_not() -> None:
    info = registry.get("categorical_vae")

    def task(dataset: str) -> Component:
        values = info.values({"dataset": dataset})
        return Component(id=info.id, version=info.version, parameters=tuple(sorted(values.items())))

    assert "data" not in task("mnist").to_json("task")
    stated = task("omniglot_rebuilt").to_json("task")
    assert stated["data"] == {"omniglot_rebuilt": DATA_SETS["omniglot_rebuilt"].digest}
    assert Component.from_json(stated, "task") == task("omniglot_rebuilt")
    assert digest(stated) != digest({name: value for name, value in stated.items() if name != "data"})


def test_digests_follow_from_names_and_contents_not_from_labels_or_mirrors() -> None:
    assert SMALL.digest == dataclasses.replace(SMALL, mirrors=(), title="Other").digest
    other = dataclasses.replace(SMALL.files[0], sha256="0" * 64)
    assert SMALL.digest != dataclasses.replace(SMALL, files=(other,)).digest
    mnist = DATA_SETS["mnist"]
    assert mnist.digest == dataclasses.replace(mnist, labels=None).digest
    assert len({data_set.digest for data_set in CATALOGUE.values()}) == len(CATALOGUE)
