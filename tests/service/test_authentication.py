"""From what is presented to who it is: what is looked up, what is kept for how long, what is refused."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from service.access import credentials, rates, tokens
from service.access.authentication import KEPT_S, MOST_KEPT, Authentication
from service.access.credentials import SIGN_IN, TOKEN, Credential, without_secrets
from service.access.rates import Rates
from service.access.tokens import Made
from service.errors import InvalidRequest, NotAuthenticated
from service.states import Scope
from service.storage.engine import database_clock, read
from service.storage.queries import access
from tests.support.sweeps import SteppedClock


class Seconds:
    """The process's clock, which moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class House:
    """A database with a token, and who tells who presents it, on clocks that stand still."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.clock, self.seconds = engine, SteppedClock(), Seconds()
        self.made = self.token()
        self.doors = Authentication(engine, clock=self.clock, monotonic=self.seconds)

    def token(self, **others: Any) -> Made:
        """One more."""
        said: dict[str, Any] = {"name": "ada", "scope": Scope.SUBMIT, **others}
        return tokens.create(self.engine, clock=self.clock, **said)

    def passes(self, seconds: float) -> None:
        """Let time pass, on both clocks."""
        self.clock.pass_seconds(seconds)
        self.seconds.now += seconds


@pytest.fixture
def house(engine: Engine) -> House:
    return House(engine)


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """What is asked of the database meanwhile, but for the clock and the frames of transactions."""
    seen: list[str] = []

    def note(_c: Any, _u: Any, statement: str, *_: Any) -> None:
        if "api_token" in statement or "sign_in" in statement:
            seen.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(NotAuthenticated) as caught:
        act()
    return str(caught.value)


def test_one_look_up_is_kept_for_five_seconds(house: House) -> None:
    with statements(house.engine) as seen:
        for _ in range(50):
            caller = house.doors.caller(house.made.secret)
        assert (caller.owner, caller.scope, caller.by_cookie) == ("ada", Scope.SUBMIT, False)
        assert len(seen) == 2  # whether there are tokens, and this one
        house.passes(KEPT_S + 0.1)
        house.doors.caller(house.made.secret)
        assert len(seen) == 3


def test_the_look_up_is_by_an_index(house: House) -> None:
    with house.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            plan = connection.exec_driver_sql(
                "EXPLAIN QUERY PLAN SELECT id FROM api_token WHERE public_id = 'x'"
            ).all()
            assert "SEARCH" in str(plan)
        unique = sa.inspect(connection).get_unique_constraints("api_token")
    assert [one["column_names"] for one in unique] == [["public_id"]]


def test_a_revoked_token_is_refused_within_five_seconds_and_at_once_where_it_is_told(house: House) -> None:
    elsewhere = Authentication(house.engine, clock=house.clock, monotonic=house.seconds)
    for doors in (house.doors, elsewhere):
        doors.caller(house.made.secret)
    tokens.revoke(house.engine, house.made.token.public_id, clock=house.clock)
    house.doors.forget()
    assert "was revoked on 2030-01-01" in refusal(lambda: house.doors.caller(house.made.secret))
    elsewhere.caller(house.made.secret)  # another process, which knows it for a while
    house.passes(KEPT_S)
    assert "was revoked" in refusal(lambda: elsewhere.caller(house.made.secret))


def test_a_token_expires_at_its_moment_whatever_is_kept(house: House) -> None:
    short = house.token(days=2 / 86400).secret
    house.doors.caller(short)
    house.passes(1.9)
    house.doors.caller(short)
    house.passes(0.2)
    assert "expired on 2030-01-01" in refusal(lambda: house.doors.caller(short))


def test_somebody_who_signed_in_is_known_until_the_sign_in_or_the_token_ends(house: House) -> None:
    for days, lasts, ends in ((None, timedelta(hours=2), 7200), (1, timedelta(days=9), 86400)):
        token = house.token(days=days)
        cookie, until = tokens.sign_in(house.engine, token.token.public_id, lasts=lasts, clock=house.clock)
        assert (until - house.clock.now).total_seconds() == ends
        assert house.doors.caller(cookie).by_cookie
        house.passes(ends + 1)
        assert "sign-in" in refusal(lambda: house.doors.caller(cookie))  # noqa: B023 - called at once


def test_revoking_a_token_ends_what_was_signed_in_with_it(house: House) -> None:
    lasts = timedelta(days=1)
    cookie, _ = tokens.sign_in(house.engine, house.made.token.public_id, lasts=lasts, clock=house.clock)
    assert house.doors.caller(cookie).owner == "ada"
    tokens.revoke(house.engine, house.made.token.public_id)
    house.doors.forget()
    refusal(lambda: house.doors.caller(cookie))


def test_a_cookie_is_no_token(house: House) -> None:
    """Also while it is kept: programs' requests are trusted with more than a browser's."""
    cookie, _ = tokens.sign_in(
        house.engine, house.made.token.public_id, lasts=timedelta(days=1), clock=house.clock
    )
    house.doors.caller(cookie)
    house.doors.caller(house.made.secret)
    refusal(lambda: house.doors.caller(Credential(TOKEN, cookie.public_id, cookie.secret)))
    disguised = Credential(SIGN_IN, house.made.secret.public_id, house.made.secret.secret)
    refusal(lambda: house.doors.caller(disguised))


def test_what_was_looked_up_before_a_change_is_not_kept_after_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token is revoked between the reading of its row and the keeping of that."""
    genuine = access.token_with

    def overtaken(connection: Any, public_id: str) -> Any:
        row = genuine(connection, public_id)
        house.doors.forget()
        return row

    with monkeypatch.context() as patched:
        patched.setattr(access, "token_with", overtaken)
        house.doors.caller(house.made.secret)
    assert not house.doors.is_kept(house.made.secret)


def test_expired_sign_ins_are_forgotten(house: House) -> None:
    lasts = timedelta(hours=1)
    old, _ = tokens.sign_in(house.engine, house.made.token.public_id, lasts=lasts, clock=house.clock)
    house.passes(3601)
    tokens.sign_in(house.engine, house.made.token.public_id, lasts=lasts, clock=house.clock)
    with read(house.engine) as connection:
        assert access.sign_in_with(connection, old.public_id) is None


def test_the_last_use_is_written_once_a_minute(house: House) -> None:
    def last_used() -> Any:
        with read(house.engine) as connection:
            row = access.token_with(connection, house.made.token.public_id)
        assert row is not None
        return row.last_used_at

    assert last_used() is None
    written = []
    for _ in range(26):  # every 5.5 s, for 137.5 s
        caller = house.doors.caller(house.made.secret)
        if house.doors.use_is_due(caller):
            house.doors.note_use(caller)
            written.append(last_used())
        house.passes(5.5)
    begin = written[0]
    assert [(one - begin).total_seconds() for one in written] == [0, 60.5, 121]


def test_secrets_are_compared_in_constant_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    genuine = hmac.compare_digest

    def seen(a: str, b: str) -> bool:
        compared.append((a, b))
        return genuine(a, b)

    monkeypatch.setattr(hmac, "compare_digest", seen)
    secret = house.made.secret
    house.doors.caller(secret)
    house.doors.caller(secret)  # also where it is kept
    wrong = Credential(TOKEN, secret.public_id, "A" * 43)
    refusal(lambda: house.doors.caller(wrong))
    assert [a == b for a, b in compared] == [True, True, False]


def test_a_wrong_secret_learns_nothing_about_the_token(house: House) -> None:
    """Unknown, revoked and expired look alike to whoever lacks the secret."""
    tokens.revoke(house.engine, house.made.token.public_id)
    said = [
        refusal(lambda: house.doors.caller(Credential(TOKEN, id, "A" * 43)))  # noqa: B023 - called at once
        for id in (house.made.token.public_id, "0" * 16)
    ]
    assert len({one.replace(house.made.token.public_id, "0" * 16) for one in said}) == 1


def test_it_is_off_until_the_first_token_and_then_on_for_good(engine: Engine) -> None:
    seconds = Seconds()
    doors = Authentication(engine, monotonic=seconds)
    assert not doors.is_on()
    made = tokens.create(engine, name="ada", scope=Scope.ADMIN)
    assert not doors.caller(None).told_apart  # known a moment ago
    seconds.now += KEPT_S
    assert doors.is_on()
    tokens.revoke(engine, made.token.public_id)
    assert Authentication(engine).is_on(), "an open server for want of valid tokens"


@contextmanager
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database does not answer meanwhile."""

    def fails(*_: object, **__: object) -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("the connection is closed"))

    with monkeypatch.context() as patched:
        patched.setattr(sa.Engine, "connect", fails)
        yield


def test_without_its_database_it_lets_nobody_in_that_it_does_not_know(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.doors.caller(house.made.secret)
    with away(monkeypatch):
        assert house.doors.caller(house.made.secret).owner == "ada"
        house.passes(KEPT_S)
        with pytest.raises(sa.exc.OperationalError):
            house.doors.caller(house.made.secret)
        with pytest.raises(sa.exc.OperationalError):
            Authentication(house.engine).is_on()


def test_a_server_without_tokens_goes_on_while_its_database_is_away(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = Seconds()
    doors = Authentication(engine, monotonic=seconds)
    assert not doors.is_on()
    with away(monkeypatch):
        seconds.now += KEPT_S
        assert not doors.is_on()


def test_what_is_kept_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.access.authentication.MOST_KEPT", 2)
    assert MOST_KEPT == 4096
    made = [house.token() for _ in range(3)]
    for one in made:
        house.doors.caller(one.secret)
    assert [house.doors.is_kept(one.secret) for one in made] == [False, True, True]


def test_threads_that_ask_at_once_are_told_the_same(house: House) -> None:
    barrier, found = threading.Barrier(8), []

    def ask() -> None:
        barrier.wait(10)
        found.append(house.doors.caller(house.made.secret).owner)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert found == ["ada"] * 8


def test_a_secret_is_256_random_bits_with_a_prefix_that_scanners_know() -> None:
    found = [credentials.new(TOKEN) for _ in range(100)]
    assert len({one.secret for one in found}) == len({one.public_id for one in found}) == 100
    assert all(len(str(one)) == 63 and str(one).startswith("hb_") for one in found)
    assert credentials.read(str(found[0]), TOKEN) == found[0]
    assert credentials.read(str(found[0]), SIGN_IN) is None
    assert credentials.SECRET_BYTES == 32


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see hb_0123456789abcdef_" + "A-_9" * 10 + "abc now", "see hb_0123456789abcdef_... now"),
        ("hbs_0123456789abcdef_" + "x" * 43, "hbs_0123456789abcdef_..."),
        ("hb_" + "Z" * 50, "hb__..."),
        ("nothing here", "nothing here"),
    ],
)
def test_what_looks_like_a_secret_is_cut(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize(
    "said",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"owner": "a\0b"},
        {"days": -1.0},
        {"days": float("nan")},
        {"days": 1e9},
    ],
)
def test_a_token_that_cannot_be_is_refused(house: House, said: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        house.token(**said)


def test_times_are_the_database_s(engine: Engine) -> None:
    made = tokens.create(engine, name="ada", scope=Scope.READ, days=1)
    with read(engine) as connection:
        passed = database_clock(connection) - made.token.created_at
    assert timedelta(0) <= passed < timedelta(minutes=1)
    assert made.token.expires_at == made.token.created_at + timedelta(days=1)


def test_a_bucket_holds_ten_seconds_and_fills_at_its_rate() -> None:
    seconds = Seconds()
    limits = Rates(2.0, monotonic=seconds)
    assert [limits.wait("a") for _ in range(20)] == [0.0] * 20
    assert limits.wait("a") == 0.5
    assert limits.wait("b") == 0.0
    seconds.now += 0.25
    assert limits.wait("a") == 0.25
    seconds.now += 0.25
    assert limits.wait("a") == 0.0
    seconds.now += 3600
    assert [limits.wait("a") for _ in range(21)] == [0.0] * 20 + [0.5]


def test_no_rate_is_no_limit_and_buckets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {Rates(0).wait("a") for _ in range(10_000)} == {0.0}
    monkeypatch.setattr(rates, "MOST_KEPT", 2)
    limits = Rates(0.1, burst=1, monotonic=Seconds())
    assert [limits.wait(who) for who in ("a", "b", "c", "b", "a")] == [0, 0, 0, 10, 0]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_a_host_of_ipv6_is_its_network(address: str, network: str) -> None:
    assert rates.network(address) == network
