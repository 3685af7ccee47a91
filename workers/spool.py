"""What an attempt has told while its server was away, in a file of its host that outlives the worker.

A file has a line for each message: a digest, the message's kind and its JSON. The first one says whose they
are. A worker that is killed while it writes leaves a line that does not match its digest; what stands before
it counts. The worker holds a lock on its file, which the system releases however the process ends: a file
without one is an orphan, and :mod:`workers.delivery` delivers it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

_log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024 * 1024
"""Of one file. An attempt that has more to tell is computed again if its worker dies now."""
MOST_BYTES_OF_ALL = 512 * 1024 * 1024
KEPT_SECONDS = 7 * 86_400.0
"""An orphan whose server has not answered for so long is removed."""
SUFFIX, NEW = ".spool", ".new"
DIGEST_CHARACTERS = 32

Kind = Literal["attempt", "seq", "metrics", "checkpoint", "news", "finish"]


class Entry(NamedTuple):
    """One line: ``seq``, the number of the last batch; ``metrics`` as they were sent and perhaps received;
    ``checkpoint``, ``news`` and ``finish`` that wait."""

    kind: Kind
    body: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """Whose messages they are, and where they go. The secret is the attempt's own."""

    url: str
    attempt_id: int
    secret: str

    def file_name(self) -> str:
        """Attempts of different servers may have the same number."""
        server = hashlib.sha256(self.url.encode()).hexdigest()[:8]
        return f"{self.attempt_id}-{server}{SUFFIX}"


def default_folder() -> Path:
    """``$XDG_STATE_HOME/heunboard/spool``, by default below ``~/.local/state``: of the host, not of a data
    directory, which the workers of a cluster do not have."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "heunboard" / "spool"


class Spool:
    """The file of one running attempt; only its user can read it. For one thread at a time.

    Where it cannot be written, or would become too large, it is given up with a warning: the attempt goes on
    and has only its memory.

    Args:
        folder: of all spools of the host; made when it is needed.
        sender: see :class:`Sender`.
        most_bytes: of the file.
    """

    def __init__(self, folder: Path, sender: Sender, *, most_bytes: int = MOST_BYTES) -> None:
        self._folder, self._sender, self._most = folder, sender, most_bytes
        self._path = folder / sender.file_name()
        self._file: BinaryIO | None = None
        self._given_up = False

    @property
    def kept(self) -> bool:
        """Whether there is a file."""
        return self._file is not None

    def write(self, entries: Sequence[Entry]) -> None:
        """Make the file hold exactly these, or leave it as it was: it is replaced as a whole."""
        header = Entry("attempt", json.dumps(asdict(self._sender)))
        with self._or_give_up():
            before, self._file = self._file, self._replacement(b"".join(map(_line, (header, *entries))))
            if before is not None:
                before.close()

    def append(self, entry: Entry) -> None:
        """Add one at the end of a file that is there."""
        with self._or_give_up():
            if self._file is not None:
                self._file.write(_line(entry))
                self._file.flush()
                self._require_room(self._file.tell())

    def remove(self) -> None:
        """Everything was delivered, or nothing of it is wanted."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Leave the file to whoever delivers it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _replacement(self, content: bytes) -> BinaryIO:
        if self._given_up:
            raise OSError("it was given up before")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._require_room(len(content))
        new = self._path.with_suffix(NEW)
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with contextlib.ExitStack() as on_error:
            file = on_error.enter_context(os.fdopen(descriptor, "r+b"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before it has the name that others look for
            file.write(content)
            file.flush()
            new.replace(self._path)
            on_error.pop_all()
        return file

    def _require_room(self, size: int) -> None:
        others = sum(_size(path) for path in _spools(self._folder) if path != self._path)
        if size > self._most or size + others > MOST_BYTES_OF_ALL:
            raise OSError(f"it would take {size:,} bytes, beside {others:,} of others")

    @contextlib.contextmanager
    def _or_give_up(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._given_up:
                _log.warning("what waits for the server is in memory only: %s: %s", self._path, error)
            self._given_up = True
            with contextlib.suppress(OSError):
                self.remove()


class Orphan(NamedTuple):
    """A spool whose worker is gone: whose it is, and what is whole of it."""

    path: Path
    sender: Sender
    entries: Sequence[Entry]


@contextlib.contextmanager
def taken(path: Path) -> Iterator[Orphan | None]:
    """An orphan's content while nobody else can take it; ``None`` when it is not to be had, or is none."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            current = path.stat().st_ino == os.fstat(file.fileno()).st_ino
        except OSError:  # its worker lives, or it was delivered or replaced meanwhile
            current = False
        yield _orphan(path, file) if current else None


def orphans(folder: Path) -> list[Path]:
    """Files that may be orphans, oldest first; removes what is too old to be of use to anybody."""
    found = []
    for path in (*_spools(folder), *folder.glob(f"*{NEW}")):
        with contextlib.suppress(OSError):  # it was delivered meanwhile
            age = time.time() - path.stat().st_mtime
            if age > KEPT_SECONDS:
                path.unlink()
            elif path.suffix == SUFFIX:
                found.append((-age, path))
    return [path for _, path in sorted(found)]


def _spools(folder: Path) -> list[Path]:
    return list(folder.glob(f"*{SUFFIX}"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # it was delivered meanwhile
        return 0


def _orphan(path: Path, file: BinaryIO) -> Orphan | None:
    entries = list(_whole_entries(file))
    if not entries or entries[0].kind != "attempt":
        path.unlink(missing_ok=True)  # of a worker that was killed before it had written a line
        return None
    return Orphan(path, Sender(**json.loads(entries[0].body)), entries[1:])


def _whole_entries(file: BinaryIO) -> Iterator[Entry]:
    for line in file:
        kind, _, body = line.decode(errors="replace").rstrip("\n").partition(" ")[2].partition(" ")
        entry = Entry(kind, body)  # type: ignore[arg-type]  # the digest says that it was written by _line
        if _line(entry) != line:
            return
        yield entry


def _line(entry: Entry) -> bytes:
    text = f"{entry.kind} {entry.body}".encode()
    digest = hashlib.sha256(text).hexdigest()[:DIGEST_CHARACTERS]
    return digest.encode() + b" " + text + b"\n"
