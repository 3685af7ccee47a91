"""The Python client: a typed door to the REST API, for programs that wait and for those that await.

>>> with Client() as client:  # doctest: +SKIP
...     client.submit(Path("examples/polynomial.yaml").read_text()).wait().board().to_pandas()

Answers are the models of :mod:`service.resources`; fields that a newer server adds are passed over.
"""

from service.client.address import ADDRESS_FILE, default_url
from service.client.board import Board
from service.client.clients import AsyncClient, Client
from service.client.errors import (
    ApiError,
    ClientError,
    InvalidAddress,
    Problem,
    ServerUnreachable,
    UnexpectedAnswer,
    WaitTimeout,
)
from service.client.handles import AsyncSweep, Sweep
from service.client.retrying import Retry

__all__ = [
    "ADDRESS_FILE",
    "ApiError",
    "AsyncClient",
    "AsyncSweep",
    "Board",
    "Client",
    "ClientError",
    "InvalidAddress",
    "Problem",
    "Retry",
    "ServerUnreachable",
    "Sweep",
    "UnexpectedAnswer",
    "WaitTimeout",
    "default_url",
]
