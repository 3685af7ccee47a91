"""``heunboard token`` and ``audit``, and which addresses a server listens on with and without tokens."""

from __future__ import annotations

import contextlib
import json
import re
import stat
from pathlib import Path

import pytest

from service.access import audit, tokens
from service.access.authentication import Authentication
from service.access.credentials import TOKEN, read
from service.cli import servers
from service.errors import InvalidSettings
from service.settings import Settings
from service.states import Scope
from service.storage import migrations
from service.storage.engine import open_engine
from tests.service.test_cli import Run, run

__all__ = ["run"]  # the fixture


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEUNBOARD_DATA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_first_token_is_made_where_no_server_ever_was(run: Run, home: Path) -> None:
    status, out, err = run("token", "create", "ada", "--scope", "admin")
    secret = read(out.strip(), TOKEN)
    assert (status, secret is not None) == (0, True)
    assert "of ada, scope admin" in err
    assert "It is the first" in err
    assert out.strip() not in err
    engine = open_engine(Settings(data_home=home).database)
    caller = Authentication(engine).caller(secret)
    assert (caller.owner, caller.scope) == ("ada", Scope.ADMIN)
    assert "It is the first" not in run("token", "create", "bob")[2]
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in home.iterdir()}
    assert modes["heunboard.sqlite"] == 0o600
    engine.dispose()


def test_a_token_goes_into_a_file_that_its_owner_alone_can_read(run: Run, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "ci.token"
    status, out, _ = run(
        "token", "create", "ci", "--owner", "ada", "--days", "90", "--file", str(file), "--json"
    )
    shown = json.loads(out)
    assert (status, shown["secret"], shown["owner"], shown["scope"]) == (0, None, "ada", "submit")
    secret = file.read_text().strip()
    assert read(secret, TOKEN) is not None
    assert secret not in out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    status, _, err = run("token", "create", "ci", "--file", str(file))
    assert (status, "name a file that is not there" in re.sub(r"\W+", " ", err)) == (2, True)
    assert file.read_text().strip() == secret
    assert len(json.loads(run("token", "list", "--json")[1])["tokens"]) == 1, "none without its file"


def test_tokens_are_listed_and_revoked(run: Run, home: Path) -> None:
    secret = run("token", "create", "ada")[1].strip()
    id = secret.split("_")[1]
    listed = run("token", "list")[1]
    assert id in listed
    assert secret not in listed
    assert "revoked" not in listed
    assert "is revoked" in run("token", "revoke", id)[1]
    assert "revoked" in run("token", "list")[1]
    status, _, err = run("token", "revoke", "none")
    assert (status, "there is no token" in err) == (1, True)
    assert "is revoked" in run("token", "revoke", id)[1], "again is no error"


def test_the_audit_is_shown(run: Run, home: Path) -> None:
    assert "Nothing was recorded" in run("audit")[1]
    secret = run("token", "create", "ada")[1].strip()
    shown = run("audit")[1]
    assert "token created" in shown
    assert "command line" in shown
    (entry,) = json.loads(run("audit", "--json")[1])["entries"]
    assert entry["subject"] == f"{secret.split('_')[1]} 'ada' of 'ada', scope submit"
    assert json.loads(run("audit", "--outcome", "refused", "--json")[1])["entries"] == []


def test_no_command_takes_a_secret_as_an_argument(run: Run, home: Path) -> None:
    """Arguments are seen by every user of the machine."""
    for words in (("token", "create"), ("token", "revoke"), ("submit",), ("serve",)):
        assert not re.search(r"--(token|secret|password)\b", run(*words, "--help")[1])


def allowed(host: str, settings: Settings, insecure: bool = False) -> bool:
    with contextlib.suppress(InvalidSettings):
        servers._require_loopback(host, insecure, settings)
        return True
    return False


def test_the_refusal_to_listen_says_what_to_do(run: Run, home: Path) -> None:
    status, _, err = run("serve", "--host", "0.0.0.0")
    assert status == 2
    assert "refusing to listen on 0.0.0.0" in err
    assert "heunboard token create NAME --scope admin" in err
    assert "HEUNBOARD_AUTH=required" in err


def test_it_listens_beyond_loopback_only_with_tokens(tmp_path: Path) -> None:
    settings = Settings(data_home=tmp_path / "home")
    assert [allowed(host, settings) for host in ("127.0.0.1", "localhost", "::1")] == [True] * 3
    assert [allowed(host, settings) for host in ("0.0.0.0", "::", "192.0.2.1", "name")] == [False] * 4
    assert not (tmp_path / "home").exists(), "asking makes no database"
    assert allowed("0.0.0.0", settings, insecure=True)
    assert allowed("0.0.0.0", Settings(data_home=tmp_path / "home", auth="required"))
    engine = open_engine(settings.database)
    migrations.upgrade(engine, "0003")
    assert not allowed("0.0.0.0", settings), "of a version before tokens"
    migrations.upgrade(engine)
    assert not allowed("0.0.0.0", settings)
    made = tokens.create(engine, name="ada", scope=Scope.READ)
    assert allowed("0.0.0.0", settings)
    tokens.revoke(engine, made.token.public_id)
    assert allowed("0.0.0.0", settings), "nobody is let in without a token by then"
    assert [one.action for one in audit.entries(engine, limit=9)] == ["token revoked", "token created"]
    engine.dispose()
