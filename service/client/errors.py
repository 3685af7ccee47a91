"""What a request can end with, in one tree.

::

    ClientError
    ├── ApiError           the server refused
    ├── ServerUnreachable  no server answers at the address
    ├── UnexpectedAnswer   a server of another version answers
    ├── WaitTimeout        the sweep was not done in time
    └── InvalidAddress     address or access token cannot be used
"""

from __future__ import annotations

from service.resources.schemas import ProblemDocument


class Problem(ProblemDocument):
    """A problem document (RFC 9457); what a proxy in between leaves out is empty."""

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    instance: str = ""


class ClientError(Exception):
    """The server did not do what was asked."""


class ApiError(ClientError):
    """The server refused.

    Attributes:
        status: the HTTP status.
        problem: its problem document; ``problem.errors`` are the places in what was sent.
        retry_after: seconds after which the server wants to be asked again; ``None`` where it does not say.
    """

    def __init__(self, status: int, problem: Problem, *, retry_after: float | None = None) -> None:
        self.status = status
        self.problem = problem
        self.retry_after = retry_after
        super().__init__(problem.detail or problem.title or f"HTTP {status}")


class ServerUnreachable(ClientError):
    """No server answers at the address."""


class UnexpectedAnswer(ClientError):
    """What the server answered is not what this version of the client knows."""


class WaitTimeout(ClientError):
    """The sweep was not done in time; it goes on."""


class InvalidAddress(ClientError):
    """The address of the server, or the access token, cannot be used."""
