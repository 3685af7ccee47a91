"""The two clients: what they share is in :class:`Methods`, and how requests travel is theirs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypedDict, TypeVar

import httpx

from service.client.address import find_address, find_token
from service.client.boards import BoardMethods
from service.client.catalogue import CatalogueMethods
from service.client.flows import Asynchronous, AsyncSender, Sender, Synchronous
from service.client.handles import AsyncSweep, Sweep
from service.client.retrying import Retry
from service.client.suites import SuiteMethods
from service.client.sweeps import SweepMethods
from service.client.trials import TrialMethods
from service.resources.schemas import Plan, SweepDetail
from workers.version import package_version

H = TypeVar("H")
TIMEOUT_S = 30.0
DEFAULT_RETRY = Retry()


class Methods(SweepMethods[H], TrialMethods, BoardMethods, CatalogueMethods, SuiteMethods, Generic[H]):
    """Everything that a client can be asked."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.url}>"


class Client(Methods[Sweep], Synchronous):
    """Talks to one server. Close it, or use it as a context manager.

    >>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
    ...     client.submit(Path("examples/polynomial.yaml").read_text()).wait().board().to_pandas()

    Args:
        url: address of the server; default as :func:`default_url`.
        token: access token; default ``HEUNBOARD_TOKEN``, or what the file holds that ``HEUNBOARD_TOKEN_FILE``
            names. It is sent to ``url`` alone: an answer that sends elsewhere is an error.
        timeout: seconds that one request may take.
        retry: how often and how long a request is repeated.
        transport: how requests travel, for tests.
        sleep: how pauses are made, for tests.

    Raises:
        InvalidAddress: the address or the token cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = TIMEOUT_S,
        retry: Retry = DEFAULT_RETRY,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._address, self._retry = find_address(url), retry
        chosen = transport or httpx.HTTPTransport()  # of its own: no proxy of the environment sees the token
        options = _options(self.url, token, timeout)
        self._sender = Sender(httpx.Client(transport=chosen, **options), sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._sender.close()

    def _handle(self, answer: SweepDetail, plan: Plan | None = None) -> Sweep:
        return Sweep(self, answer, plan)


class AsyncClient(Methods[AsyncSweep], Asynchronous):
    """:class:`Client` for programs with an event loop: the same methods, to be awaited.

    >>> async with AsyncClient() as client:  # doctest: +SKIP
    ...     sweep = await client.submit(text)
    ...     async for look in sweep.watch():
    ...         print(look.progress.counts)

    Args and errors are those of :class:`Client`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = TIMEOUT_S,
        retry: Retry = DEFAULT_RETRY,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._address, self._retry = find_address(url), retry
        chosen = transport or httpx.AsyncHTTPTransport()
        options = _options(self.url, token, timeout)
        self._sender = AsyncSender(httpx.AsyncClient(transport=chosen, **options), sleep)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._sender.close()

    def _handle(self, answer: SweepDetail, plan: Plan | None = None) -> AsyncSweep:
        return AsyncSweep(self, answer, plan)


class _Options(TypedDict):
    base_url: str
    timeout: float
    headers: dict[str, str]


def _options(url: str, token: str | None, timeout: float) -> _Options:
    headers = {"Accept": "application/json", "User-Agent": f"heunboard/{package_version()}"}
    if found := find_token(token):
        headers["Authorization"] = f"Bearer {found}"
    return {"base_url": url, "timeout": timeout, "headers": headers}
