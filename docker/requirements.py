"""Prints what the package requires, for images that hold a part of it (``--without torch``)."""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path("pyproject.toml")


def requirements(
    project: Path, *, without: set[str], extras: list[str], only: str | None = None
) -> list[str]:
    """The dependencies that ``project`` declares.

    Args:
        project: a ``pyproject.toml``.
        without: names of dependencies that are left out.
        extras: names of optional groups that are added.
        only: the name of an optional group that is given alone.

    Raises:
        KeyError: there is no such dependency or group.
    """
    declared = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    groups = declared["optional-dependencies"]
    if only is not None:
        return list(groups[only])
    by_name = {re.split(r"[^\w.-]", line)[0]: line for line in declared["dependencies"]}
    for name in without:
        del by_name[name]
    return [*by_name.values(), *(line for extra in extras for line in groups[extra])]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", metavar="NAME", action="append", default=[])
    parser.add_argument("--extra", metavar="GROUP", action="append", default=[])
    parser.add_argument("--only", metavar="GROUP")
    given = parser.parse_args()
    found = requirements(PROJECT, without=set(given.without), extras=given.extra, only=given.only)
    sys.stdout.write("\n".join(found) + "\n")


if __name__ == "__main__":
    main()
