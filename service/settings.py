"""Environment variables ``HEUNBOARD_*`` -> one frozen record, read once at the start of a process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import InvalidSettings
from service.home import default_data_home
from workers.logs import LogFormat

PREFIX = "HEUNBOARD_"
NO_CHECKPOINTS = "off"

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """What can be set from outside; every field ``x`` is the environment variable ``HEUNBOARD_X``.

    Attributes:
        data_home: folder of the embedded database and of everything else that is kept.
        database_url: ``sqlite:///FILE`` or ``postgresql://...``; empty means a SQLite file in ``data_home``.
        database_password_file: a file with the password that ``database_url`` lacks; empty: it lacks none.
        lease_seconds: silence after which a running attempt is given up; it reports three times as often.
        start_seconds: time that a claimed cohort may wait for its launcher before it is given up.
        stop_seconds: what running attempts have to write a last checkpoint when their dispatcher is asked to
            end; those that are not done by then are ended.
        drain_seconds: how long the web service goes on answering, not ready any more, when it is asked to
            end: as long as those who send it requests take to notice.
        max_attempts: attempts of a cohort that are lost after they began before its trials fail.
        backoff_seconds: pause before the second attempt; it doubles with every further one, up to 5 minutes.
        bin_days: days for which a deleted sweep can be restored.
        max_lanes: most trials in one cohort.
        checkpoints: where checkpoints lie, as workers reach it: a directory, an address that fsspec knows, or
            ``off``; empty means ``checkpoints`` in ``data_home``.
        checkpoint_seconds: work that may be lost with an attempt; more where writing it takes so long that
            this would take more than 2 % of the time.
        quarantine_losses: attempts lost on a node in a row before nothing begins there for a while.
        quarantine_seconds: how long at first; it doubles with every further loss, up to an hour.
        owner_slots: most attempts of one owner's sweeps at the same time; unset for any number.
        owner_trials: most trials of one owner's sweeps that wait or run; a sweep that would make it more is
            refused. Unset for any number.
        max_listeners: most pages at the same time that are told of changes as they happen; further ones ask
            from time to time.
        auth: ``auto``: from the first token that is made on, nobody does anything without one; before that
            everybody may, and the server listens on loopback alone. ``required``: never without.
        anonymous_read: whether whoever has no token may read all the same.
        sign_in_hours: how long a browser stays signed in.
        requests_per_second: of one token, or of one address without any, on average over ten seconds; 0 for
            any number. Reports of workers do not count.
        max_connections: with a request under way, streams of events among them; further requests get 503.
        log_format: of the logs of server and workers, ``json`` or ``text``; unset for text on a terminal and
            in the files of ``heunboard up``, and JSON elsewhere.
        allowed_hosts: names in the Host header that the web service answers to, as a JSON list.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data_home: Path = Field(default_factory=default_data_home)
    database_url: str = ""
    database_password_file: str = ""
    lease_seconds: Seconds = 30.0
    start_seconds: Seconds = 120.0
    stop_seconds: Seconds = 10.0
    drain_seconds: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = 0.0
    max_attempts: Annotated[int, Field(ge=1)] = 3
    backoff_seconds: Seconds = 5.0
    bin_days: Annotated[float, Field(ge=0, le=36500, allow_inf_nan=False)] = 7.0
    max_lanes: Annotated[int, Field(ge=1, le=4096)] = 64
    checkpoints: str = ""
    checkpoint_seconds: Seconds = 30.0
    quarantine_losses: Annotated[int, Field(ge=1)] = 3
    quarantine_seconds: Seconds = 60.0
    owner_slots: Annotated[int, Field(ge=1)] | None = None
    owner_trials: Annotated[int, Field(ge=1)] | None = None
    max_listeners: Annotated[int, Field(ge=0)] = 300
    auth: Literal["auto", "required"] = "auto"
    anonymous_read: bool = False
    sign_in_hours: Annotated[float, Field(gt=0, le=8760)] = 24.0
    requests_per_second: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 500.0
    max_connections: Annotated[int, Field(ge=10)] = 2000
    log_format: LogFormat | None = None
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")

    @model_validator(mode="after")
    def _database_can_be_used(self) -> Self:
        if self.database_url:
            _check_database_url(self.database_url)
        if self.database_password_file:
            _with_password(self.database_url, Path(self.database_password_file))
        return self

    @property
    def database(self) -> str:
        """The database's URL with default and password filled in."""
        if self.database_password_file:
            return _with_password(self.database_url, Path(self.database_password_file))
        return self.database_url or f"sqlite:///{self.data_home.absolute() / 'heunboard.sqlite'}"

    @property
    def checkpoint_store(self) -> str | None:
        """The address of the store of checkpoints with the default filled in; ``None``: there is none.

        A directory is absolute: processes that use it have working directories of their own.
        """
        if self.checkpoints == NO_CHECKPOINTS:
            return None
        if "://" in self.checkpoints or "::" in self.checkpoints:
            return self.checkpoints
        folder = Path(self.checkpoints) if self.checkpoints else self.data_home / "checkpoints"
        return str(folder.expanduser().absolute())


def load_settings(**overrides: Any) -> Settings:
    """Read the environment; ``overrides`` win over it.

    Raises:
        InvalidSettings: a value cannot be used; the message names variable, value and what is expected.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise InvalidSettings("\n".join(_explain(one) for one in error.errors())) from None


def _explain(error: Any) -> str:
    if not error["loc"]:  # a check of the whole record names its variable itself
        return str(error["ctx"]["error"])
    name = PREFIX + str(error["loc"][0]).upper().removeprefix(PREFIX)
    return f"{name} is {error['input']!r}: {error['msg']}"


def _check_database_url(text: str) -> None:
    # Here: commands that only talk to a server have no use for a fifth of a second of imports.
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except ArgumentError:
        raise ValueError(f"{PREFIX}DATABASE_URL is {text!r}, which is not a URL") from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError(
            f"{PREFIX}DATABASE_URL names {url.get_backend_name()!r}; use sqlite:///FILE or postgresql://..."
        )
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError(
            f"{PREFIX}DATABASE_URL is {text!r}; an SQLite database must be a file: sqlite:///FILE"
        )


def _with_password(text: str, file: Path) -> str:
    """The URL with the password that a file holds, on one line."""
    from sqlalchemy.engine import make_url  # as above

    variable = f"{PREFIX}DATABASE_PASSWORD_FILE"
    url = make_url(text) if text else None
    if url is None or url.get_backend_name() != "postgresql":
        raise ValueError(f"{variable} is set, but {PREFIX}DATABASE_URL does not name a PostgreSQL database")
    if url.password is not None:
        raise ValueError(f"{PREFIX}DATABASE_URL has a password, and {variable} names another: take one away")
    try:
        password = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{variable} is {str(file)!r}, which cannot be read: {error}") from None
    if not password:
        raise ValueError(f"{variable} is {str(file)!r}, which is empty")
    return url.set(password=password).render_as_string(hide_password=False)
