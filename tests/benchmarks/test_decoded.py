"""Arrays that processes share: made once, mapped by all, made again when their file is not whole."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.decoded import Bytes, shared

SHAPE = (3, 5)


@dataclass
class Decoder:
    """Makes the numbers 0 to 14, and counts how often."""

    calls: int = 0

    def __call__(self) -> Bytes:
        self.calls += 1
        return np.arange(15, dtype=np.uint8).reshape(SHAPE)


def test_the_second_time_nothing_is_decoded_and_the_file_is_mapped(tmp_path: Path) -> None:
    decoder = Decoder()
    for _ in range(2):
        array = shared("key", SHAPE, folder=tmp_path / "new", decode=decoder)
        assert isinstance(array, np.memmap)
        assert array.tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14]]
    assert decoder.calls == 1


def test_another_key_or_shape_is_another_array(tmp_path: Path) -> None:
    decoder = Decoder()
    shared("key", SHAPE, folder=tmp_path, decode=decoder)
    shared("other", SHAPE, folder=tmp_path, decode=decoder)
    assert decoder.calls == 2
    flat = shared("key", (15,), folder=tmp_path, decode=lambda: np.zeros(15, dtype=np.uint8))
    assert flat.tolist() == [0] * 15


def test_writing_into_an_array_changes_no_file(tmp_path: Path) -> None:
    decoder = Decoder()
    shared("key", SHAPE, folder=tmp_path, decode=decoder)[:] = 255
    assert shared("key", SHAPE, folder=tmp_path, decode=decoder).max() == 14


@pytest.mark.parametrize("damage", [b"", b"\x07" * 14, b"\x07" * 16], ids=["empty", "short", "long"])
def test_a_file_of_another_length_is_made_again(tmp_path: Path, damage: bytes) -> None:
    decoder = Decoder()
    shared("key", SHAPE, folder=tmp_path, decode=decoder)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    for _ in range(2):
        assert shared("key", SHAPE, folder=tmp_path, decode=decoder).tobytes() == bytes(range(15))
    assert decoder.calls == 2
    assert file.read_bytes() == bytes(range(15))


def test_without_a_place_to_write_to_arrays_stay_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    decoder = Decoder()
    for _ in range(2):
        array = shared("key", SHAPE, folder=tmp_path / "file" / "below", decode=decoder)
        assert array.tobytes() == bytes(range(15))
    assert decoder.calls == 2


def test_what_cannot_be_decoded_or_has_another_shape_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Bytes:
        raise ValueError("not an image")

    with pytest.raises(ValueError, match="not an image"):
        shared("key", SHAPE, folder=tmp_path, decode=broken)
    with pytest.raises(ValueError, match=r"shape \(2, 2\) was expected, there is one of \(3, 5\)"):
        shared("key", (2, 2), folder=tmp_path, decode=Decoder())
    assert not list(tmp_path.iterdir())


AT_ONCE = """
import hashlib, sys
from pathlib import Path
import numpy as np
from benchmarks.datasets.decoded import shared

def decode():
    print("decoding", flush=True)
    sys.stdin.readline()  # until all have come this far
    return np.random.default_rng(0).integers(0, 256, (1000, 784), dtype=np.uint8)

print(hashlib.sha256(shared("key", (1000, 784), folder=Path(sys.argv[1]), decode=decode)).hexdigest())
"""


def test_processes_that_decode_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", AT_ONCE, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "decoding\n"
    for process in processes:  # all write now
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    digests = {process.communicate(timeout=60)[0] for process in processes}
    assert len(digests) == 1
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size == 784_000
