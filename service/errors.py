"""Everything that the service refuses, in one tree. A class's docstring is its default message.

::

    HeunboardError
    ├── NotFound             there is no such thing
    ├── InvalidRequest       a parameter of the request cannot be used
    ├── NothingToDo          what is asked for is so already, or can no longer be
    ├── TooManyTrials        an owner has as many trials in the queue as allowed
    ├── IdempotencyKeyReused the same key came with another body
    ├── SubmissionGivenUp    storing a sweep took too long and was undone
    ├── InvalidPageToken     a list was asked to go on from nowhere
    ├── BrokenSuite          the server has the suite, and a file of it is not as it must be
    ├── InvalidDocument      what was sent to be kept is not what it is sent as
    │   ├── InvalidCertificate   no certificate of this estimator
    │   └── InvalidMeasurements  not what the command of this exhibit measures
    ├── CannotStore          the data directory cannot be written to
    ├── CannotBackUp         a copy of a database cannot be made, or none be made from it
    ├── NotInstalled         an optional package is missing where the server runs
    ├── InvalidReport        a worker's report contradicts what it was given
    ├── WrongSecret          a report without the attempt's secret
    ├── NotAuthenticated     nobody is known who asks, or a token is not valid
    ├── NotPermitted         who asks is known and may not do that
    │   └── ForeignOrigin        another web page asks through a browser
    ├── TooManyRequests      somebody asks more often than allowed
    ├── StaleAttempt         a report of an attempt that no longer holds its cohort
    ├── OtherProtocol        a worker whose reports this server does not understand
    ├── ShuttingDown         the process was asked to end
    ├── DatabaseOutOfDate    the schema is not the one this program was written for
    └── InvalidSettings      an environment variable or argument cannot be used
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from benchmarks.sweep_file.issues import Issue


class HeunboardError(Exception):
    """Heunboard could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.getdoc(type(self)) or type(self).__name__)


class NotFound(HeunboardError):
    """There is nothing with this id."""


class InvalidRequest(HeunboardError):
    """A parameter of the request cannot be used."""


class NothingToDo(HeunboardError):
    """What is asked for is so already, or can no longer be."""


class TooManyTrials(HeunboardError):
    """The owner of this sweep has as many trials that wait or run as allowed; submit it later."""


class IdempotencyKeyReused(HeunboardError):
    """This Idempotency-Key was used with another body; use a fresh key for another sweep."""


class SubmissionGivenUp(HeunboardError):
    """Storing the sweep was interrupted for so long that it was undone; submit it again."""


class InvalidPageToken(HeunboardError):
    """The page token is not one that this list handed out; leave page_token away to start at the top."""


class BrokenSuite(HeunboardError):
    """A file of this suite is not as it must be; the server's log says which."""


class InvalidDocument(HeunboardError):
    """What was sent to be kept is not what it is sent as; nothing was stored.

    Attributes:
        issues: at least one.
    """

    expected = "what is kept here"
    advice = "Send another document."

    def __init__(self, issues: Sequence[Issue]) -> None:
        self.issues = tuple(issues)
        found = " ".join(str(issue) for issue in issues)
        super().__init__(f"this is not {self.expected}, and nothing was stored: {found} {self.advice}")


class InvalidCertificate(InvalidDocument):
    """What was sent is no certificate of this estimator; nothing was stored."""

    expected = "a certificate of the estimator here"
    advice = "Send what `heunboard certify ID --publish` measures."


class InvalidMeasurements(InvalidDocument):
    """What was sent is not what the command of this exhibit measures; nothing was stored."""

    expected = "what this exhibit measures"
    advice = "Send what `python -m benchmarks.commands.efficiency --json FILE` writes."


class CannotBackUp(HeunboardError):
    """A copy of the database cannot be made, or no database be made from it."""


class CannotStore(HeunboardError):
    """The server cannot write to its data directory."""


class NotInstalled(HeunboardError):
    """What is asked for needs a package that is not installed where the server runs."""


class InvalidReport(HeunboardError):
    """The report does not fit the attempt that it speaks of; nothing was stored."""


class WrongSecret(HeunboardError):
    """The secret does not belong to this attempt; nothing was stored."""


class NotAuthenticated(HeunboardError):
    """This needs a token: `heunboard token create` makes one."""


class NotPermitted(HeunboardError):
    """The token does not allow this."""


class ForeignOrigin(NotPermitted):
    """A page of another server asks through a browser; changes are made from this server's own pages."""


class TooManyRequests(HeunboardError):
    """More requests than allowed; wait, and ask again.

    Attributes:
        wait: seconds.
    """

    def __init__(self, wait: float) -> None:
        self.wait = wait
        super().__init__(
            f"more requests than allowed come from this token or address; wait {wait:.3g} s. The limit is "
            "HEUNBOARD_REQUESTS_PER_SECOND"
        )


class StaleAttempt(HeunboardError):
    """The attempt was superseded or has ended; nothing was stored. Stop computing it."""


class DatabaseOutOfDate(HeunboardError):
    """The database schema is not the one this version needs: run `heunboard db upgrade`."""


class OtherProtocol(HeunboardError):
    """The worker and the server are of versions that do not go together."""


class ShuttingDown(HeunboardError):
    """This server is about to end; ask another one, or this one again in a while."""


class InvalidSettings(HeunboardError):
    """A setting cannot be used."""
