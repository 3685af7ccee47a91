"""What ``heunboard doctor`` looks at: each check says how one thing stands, and what to do about it.

Nothing is changed, and nothing that is missing is an error of a check: it is a finding.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from packaging.version import Version

State = Literal["right", "note", "wrong"]
"""``note``: works, but something is slower, missing or less safe than it could be."""

LEAST_PYTHON, LEAST_TORCH, SAFE_RAY = (3, 11), "2.6", "2.60.1"
PACKAGES = ("estimators", "benchmarks", "workers", "service", "heunboard")
ROOM_GB = 2.0
"""Free space below which a run of a day may end for the lack of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """How one thing stands.

    Attributes:
        subject: what was looked at, as in ``Ray``.
        state: right, a note, or wrong.
        text: what was found.
        advice: what to do; empty where nothing has to be done.
    """

    subject: str
    state: State
    text: str
    advice: str = ""


def diagnose(port: int) -> Iterator[Finding]:
    """Look at everything, in the order in which things build upon each other.

    Args:
        port: where the web service would listen.
    """
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        python,
        packages,
        torch,
        compiler,
        compiled,
        ray,
        plugins,
        database,
        data_sets,
        room,
        lambda: listening(port),
    )
    for check in checks:
        yield from check()


def python() -> Iterator[Finding]:
    """The interpreter."""
    text = f"{platform.python_version()} in {sys.prefix}"
    if sys.version_info < LEAST_PYTHON:
        yield _wrong("Python", text, "use Python {}.{} or newer".format(*LEAST_PYTHON))
    else:
        yield _right("Python", text)


def packages() -> Iterator[Finding]:
    """Whether the packages are those of one installation: their names are common words."""
    from workers.version import package_version

    home = Path(__file__).resolve().parents[2]
    places = {name: _place(name) for name in PACKAGES}
    for name, place in places.items():
        if place != home / name:
            yield _wrong(
                "Heunboard",
                f"`import {name}` finds {place or 'nothing'}, Heunboard's own is {home / name}",
                f"rename the other {name}, or start from another folder: it hides Heunboard's",
            )
    if all(place == home / name for name, place in places.items()):
        yield _right("Heunboard", f"{package_version()} in {home}")
    folders = [Path.cwd(), *(Path(one) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one)]
    yield from hidden(folders, home)


def hidden(folders: Iterable[Path], home: Path) -> Iterator[Finding]:
    """Modules of the user's own that hide Heunboard's from what is started in their folder.

    Args:
        folders: where Python looks before it looks where packages are installed: scripts, notebooks, ``python
            -m`` and the processes of ``heunboard up`` begin with their working directory.
        home: where Heunboard's packages are.
    """
    for folder in dict.fromkeys(folder.resolve() for folder in folders):
        for name in PACKAGES if folder != home else ():
            for own in (folder / f"{name}.py", folder / name / "__init__.py"):
                if own.is_file():
                    yield _wrong(
                        "Heunboard",
                        f"{own} hides Heunboard's {name} from what is started in {folder}",
                        "rename it, or work in another folder",
                    )


def torch() -> Iterator[Finding]:
    """PyTorch and its devices."""
    if (version := _installed("torch")) is None:
        yield _wrong("PyTorch", "not installed", f"pip install 'torch>={LEAST_TORCH}'")
        return
    if version < Version(LEAST_TORCH):
        yield _wrong("PyTorch", str(version), f"pip install 'torch>={LEAST_TORCH}'")
        return
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        text = f"{version}, CPU" + (f" (built for CUDA {built}, but no GPU answers)" if built else "")
        advice = "look at `nvidia-smi`: driver and PyTorch's CUDA must fit" if built else ""
        yield Finding(subject="PyTorch", state="note" if built else "right", text=text, advice=advice)
        return
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield _right("PyTorch", f"{version}, CUDA {torch.version.cuda}: {', '.join(names)}")


def compiler() -> Iterator[Finding]:
    """A C++ compiler, with which programs of a step are made for the CPU; a GPU's are made by Triton."""
    wanted = os.environ.get("CXX", "g++")
    found = shutil.which(wanted) or shutil.which("clang++")
    if found:
        yield _right("Compiler", found)
    else:
        advice = "install g++ (Debian: apt install g++); without it every step runs slower, uncompiled"
        yield _note("Compiler", f"{wanted} is not there", advice)


def compiled() -> Iterator[Finding]:
    """Whether others can write where compiled steps are kept, which workers execute."""
    from benchmarks.process import compile_cache

    named = [
        os.environ[name] for name in (compile_cache.VARIABLE, compile_cache.PROGRAMS) if name in os.environ
    ]
    for place in [Path(one) for one in named if one] or [compile_cache.default_folder()]:
        if compile_cache.others_can_write(place):
            advice = f"chmod o-w {place}, or name another directory: what lies there is executed"
            yield _wrong("Compiled steps", f"others can write to {place}; it is not used", advice)
        else:
            yield _right("Compiled steps", str(place))


def ray() -> Iterator[Finding]:
    """Ray, and who can read the file with its token."""
    if (version := _installed("ray")) is None:
        advice = "pip install 'heunboard[ray]'; `--launcher local` works without it, on one machine"
        yield _note("Ray", "not installed", advice)
        return
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    mode = stat.S_IMODE(path.stat().st_mode) if path.is_file() else None
    if mode is not None and mode & 0o077:
        text = f"{version}; others can read the token in {path} (mode {mode:04o})"
        yield _wrong("Ray", text, f"chmod 600 {path}: who has the token runs code on the cluster")
    elif version < Version(SAFE_RAY):
        text = f"{version}; it makes its token file readable for others"
        advice = f"nothing: Heunboard sets the mode to 0600; Ray {SAFE_RAY} and newer do it themselves"
        yield Finding(subject="Ray", state="right", text=text, advice=advice)
    else:
        yield _right("Ray", str(version))


def plugins() -> Iterator[Finding]:
    """Estimators and tasks of other packages."""
    from benchmarks.tasks import registry as tasks
    from estimators import registry as estimators

    groups = (("estimators", estimators), ("tasks", tasks))
    for name, registry in groups:
        for one in registry.broken():
            yield _wrong(f"Plug-in {name}", str(one), "mend or uninstall that package")
        usable = [f"{id} ({package})" for id in registry.available() if (package := registry.package(id))]
        if usable or not registry.broken():
            yield _right(f"Plug-in {name}", ", ".join(sorted(usable)) or "none")


def database() -> Iterator[Finding]:
    """The settings, and the database that they name."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    from service.errors import InvalidSettings
    from service.settings import load_settings
    from service.storage import migrations
    from service.storage.engine import open_engine

    try:
        settings = load_settings()
    except InvalidSettings as error:
        yield _wrong("Settings", str(error), "change or unset that variable")
        return
    url = make_url(settings.database)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        yield _right("Database", f"{shown}, made by the first start")
        return
    engine = open_engine(settings.database)
    try:
        found, needed = migrations.current(engine), migrations.head()
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        yield _wrong("Database", f"{shown}: {reason}", "start the database, or mend HEUNBOARD_DATABASE_URL")
        return
    finally:
        engine.dispose()
    if found == needed:
        yield _right("Database", f"{shown}, revision {found}")
    else:
        advice = "run `heunboard db upgrade`; `heunboard up` does so by itself with SQLite"
        yield _note("Database", f"{shown} is at revision {found or 'none'}, {needed} is needed", advice)


def data_sets() -> Iterator[Finding]:
    """Which data sets are on this machine; contents are left to ``heunboard data check``."""
    from benchmarks.datasets.catalogue import CATALOGUE
    from benchmarks.datasets.files import environment_dir
    from benchmarks.datasets.inventory import inventory

    folder = environment_dir()
    if folder is not None and not folder.is_dir():
        yield _wrong("Data sets", f"HEUNBOARD_DATA_DIR names {folder}, which is no folder", "mend it")
    here: list[str] = []
    missing: list[str] = []
    for data_set in CATALOGUE.values():
        gone = any(entry.state == "missing" for entry in inventory(data_set, check=False))
        (missing if gone else here).append(data_set.id)
    text = f"{len(here)} of {len(here) + len(missing)} here"
    if missing:
        advice = "fetched when a trial needs them, or now by `heunboard data fetch NAME`"
        yield _note("Data sets", f"{text}; not {', '.join(missing)}", advice)
    else:
        yield _right("Data sets", text)


def room() -> Iterator[Finding]:
    """Free space where data, caches and Ray's objects lie."""
    from benchmarks.datasets.files import cache_dir
    from service.home import default_data_home

    home = Path(os.environ.get("HEUNBOARD_DATA_HOME") or default_data_home())
    for what, folder in (("data", home), ("cache", cache_dir())):
        free = shutil.disk_usage(_existing(folder)).free / 1e9
        text, advice = f"{free:,.1f} GB free for {what} in {folder}", "make room, or name another folder"
        yield _right("Disk", text) if free >= ROOM_GB else _note("Disk", text, advice)


def listening(port: int) -> Iterator[Finding]:
    """Whether the web service can have its port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            advice = "a server may run there already; `--port 0` takes a free one"
            yield _note("Port", f"{port} cannot be had: {error.strerror}", advice)
        else:
            yield _right("Port", f"{port} is free")


def _place(name: str) -> Path | None:
    """The folder of a package as Python finds it, without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return Path(spec.origin) if spec and spec.origin else None
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def _installed(name: str) -> Version | None:
    try:
        return Version(metadata.version(name))
    except metadata.PackageNotFoundError:
        return None


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above that there is."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())


def _right(subject: str, text: str) -> Finding:
    return Finding(subject=subject, state="right", text=text)


def _note(subject: str, text: str, advice: str) -> Finding:
    return Finding(subject=subject, state="note", text=text, advice=advice)


def _wrong(subject: str, text: str, advice: str) -> Finding:
    return Finding(subject=subject, state="wrong", text=text, advice=advice)
