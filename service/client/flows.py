"""Requests written once, sent by two clients: one that waits for answers and one that awaits them.

A method of a client is a generator. It yields what it wants done, a :class:`Call` or a :class:`Pause`, is
sent the answer, and returns the result. So what a method does (which requests, in which order, what becomes
of an answer, when it is tried again) stands there once, and the two senders differ in nothing but ``await``.

``@method`` makes such a generator a method that returns its result, or for :class:`AsyncSender` a coroutine.
``@stream`` is the same for one that yields an :class:`Item` for everything that it hands over: an iterator,
or an asynchronous one.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
)
from contextlib import aclosing, closing
from dataclasses import dataclass
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeGuard, TypeVar, overload

import httpx

from service.client.errors import ClientError

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request.

    Attributes:
        method: of HTTP.
        path: under the address of the server.
        params: of the query.
        content: the body.
        headers: besides those of every request.
        timeout: seconds, where it is not the client's.
        repeatable: whether the same request twice does no harm.
    """

    method: str
    path: str
    params: Mapping[str, Any] | None = None
    content: str | None = None
    headers: Mapping[str, str] | None = None
    timeout: float | None = None
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class Download:
    """A request whose answer is handed over piece by piece, unless it is an error."""

    call: Call


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds in which nothing is to be done."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """Something that a stream hands over."""

    value: T


Step = Call | Download | Pause
Flow = Generator[Step, Any, T]
"""Steps to a result."""
Stream = Generator[Step | Item[T], Any, None]
"""Steps with results between them."""
Outcome = httpx.Response | httpx.RequestError | None
"""How a step went."""


class Sender:
    """Carries out flows and waits for answers."""

    def __init__(self, http: httpx.Client, sleep: Callable[[float], None] = time.sleep) -> None:
        self._http = http
        self._sleep = sleep

    def run(self, flow: Flow[T]) -> T:
        """The result of a flow."""
        try:
            step = next(flow)
            while True:
                step = _tell(flow, self._do(step))
        except StopIteration as end:
            result: T = end.value
            return result

    def each(self, flow: Stream[T]) -> Iterator[T]:
        """What a stream hands over, as it comes."""
        try:
            step = next(flow)
            while True:
                outcome: Outcome = None
                if isinstance(step, Item):
                    yield step.value
                else:
                    outcome = self._do(step)
                    if _is_file(outcome, step):
                        yield from self._pieces(outcome)
                step = _tell(flow, outcome)
        except StopIteration:
            return

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _do(self, step: Step) -> Outcome:
        if isinstance(step, Pause):
            self._sleep(step.seconds)
            return None
        try:
            response = self._http.send(_request(self._http, step), stream=isinstance(step, Download))
            if not response.is_success:
                response.read()
        except httpx.RequestError as error:
            return error
        return response

    def _pieces(self, response: httpx.Response) -> Iterator[Any]:
        with closing(response):
            try:
                yield from response.iter_bytes()
            except httpx.RequestError as error:
                raise _torn(error) from error


class AsyncSender:
    """Carries out flows and lets others go on meanwhile."""

    def __init__(
        self, http: httpx.AsyncClient, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._http = http
        self._sleep = sleep

    async def run(self, flow: Flow[T]) -> T:
        """The result of a flow."""
        try:
            step = next(flow)
            while True:
                step = _tell(flow, await self._do(step))
        except StopIteration as end:
            result: T = end.value
            return result

    async def each(self, flow: Stream[T]) -> AsyncIterator[T]:
        """What a stream hands over, as it comes."""
        try:
            step = next(flow)
            while True:
                outcome: Outcome = None
                if isinstance(step, Item):
                    yield step.value
                else:
                    outcome = await self._do(step)
                    if _is_file(outcome, step):
                        async with aclosing(self._pieces(outcome)) as pieces:
                            async for piece in pieces:
                                yield piece
                step = _tell(flow, outcome)
        except StopIteration:
            return

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _do(self, step: Step) -> Outcome:
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
            return None
        try:
            response = await self._http.send(_request(self._http, step), stream=isinstance(step, Download))
            if not response.is_success:
                await response.aread()
        except httpx.RequestError as error:
            return error
        return response

    async def _pieces(self, response: httpx.Response) -> AsyncGenerator[Any, None]:
        async with aclosing(response):
            try:
                async for piece in response.aiter_bytes():
                    yield piece
            except httpx.RequestError as error:
                raise _torn(error) from error


class Synchronous:
    """Base of what has methods that return results."""

    _sender: Sender


class Asynchronous:
    """Base of what has methods that return coroutines of results."""

    _sender: AsyncSender


class method(Generic[P, T]):  # noqa: N801, a decorator
    """A generator of steps as a method."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Flow[T]]) -> None:
        self.steps = steps
        functools.update_wrapper(self, steps)  # type: ignore[arg-type]

    @overload
    def __get__(self, instance: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, instance: Synchronous, owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, instance: Asynchronous, owner: Any) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, instance: Synchronous | Asynchronous | None, owner: Any) -> Any:
        return self if instance is None else _bound(self.steps, instance, instance._sender.run)


class stream(Generic[P, T]):  # noqa: N801, a decorator
    """A generator of steps and items as a method."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Stream[T]]) -> None:
        self.steps = steps
        functools.update_wrapper(self, steps)  # type: ignore[arg-type]

    @overload
    def __get__(self, instance: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, instance: Synchronous, owner: Any) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, instance: Asynchronous, owner: Any) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, instance: Synchronous | Asynchronous | None, owner: Any) -> Any:
        return self if instance is None else _bound(self.steps, instance, instance._sender.each)


def drained(items: Stream[T], take: Callable[[T], object]) -> Flow[None]:
    """The steps of a stream, whose items are taken as they come."""
    try:
        step = next(items)
        while True:
            outcome: Outcome = None
            if isinstance(step, Item):
                take(step.value)
            else:
                try:
                    outcome = yield step
                except httpx.RequestError as error:
                    outcome = error
            step = _tell(items, outcome)
    except StopIteration:
        return


def _bound(
    steps: Callable[..., Any], instance: object, carry_out: Callable[[Any], Any]
) -> Callable[..., Any]:
    """A method with the name, signature and documentation of the generator."""
    own = MethodType(steps, instance)

    @functools.wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        return carry_out(own(*args, **kwargs))

    return call


def _tell(flow: Generator[Any, Any, Any], outcome: Outcome) -> Any:
    """Tell a flow how its last step went; what it wants next."""
    return flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)


def _is_file(outcome: Outcome, step: Step) -> TypeGuard[httpx.Response]:
    """Whether an answer is to be handed over piece by piece."""
    return isinstance(step, Download) and isinstance(outcome, httpx.Response) and outcome.is_success


def _request(http: httpx.Client | httpx.AsyncClient, step: Call | Download) -> httpx.Request:
    call = step.call if isinstance(step, Download) else step
    return http.build_request(
        call.method,
        call.path,
        params=call.params,
        content=call.content,
        headers=call.headers,
        timeout=http.timeout if call.timeout is None else call.timeout,
    )


def _torn(error: httpx.RequestError) -> ClientError:
    return ClientError(f"the connection ended before the whole file was there ({error}); ask for it again")
