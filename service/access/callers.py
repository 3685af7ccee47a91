"""Who a request comes from, and what that allows."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from service.errors import NotAuthenticated, NotPermitted
from service.states import Scope

HOW = (
    "send a token as `Authorization: Bearer TOKEN` (the command line and the client take it from "
    "HEUNBOARD_TOKEN or HEUNBOARD_TOKEN_FILE), or sign in at /sign-in; an administrator makes one with "
    "`heunboard token create NAME --scope {scope}`"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who a request comes from.

    Attributes:
        scope: what may be done; ``None``: nothing.
        owner: whose sweeps are the caller's own; ``None`` where nobody is known.
        token: public id of the token; ``None`` where none was given.
        by_cookie: known by a browser's cookie, which it sends with whatever asks it to.
        told_apart: whether anybody is: without any token in the database everybody may do everything.
    """

    scope: Scope | None
    owner: str | None = None
    token: str | None = None
    by_cookie: bool = False
    told_apart: bool = True

    def may(self, scope: Scope) -> bool:
        """Whether this scope is given."""
        return self.scope is not None and self.scope.includes(scope)

    def require(self, scope: Scope) -> None:
        """Refuse whoever has less.

        Raises:
            NotAuthenticated: nobody is known; a token would help.
            NotPermitted: the token does not allow it.
        """
        if self.may(scope):
            return
        if self.token is None:
            raise NotAuthenticated(f"this needs a token with scope {scope}: {HOW.format(scope=scope)}")
        raise NotPermitted(
            f"this needs scope {scope}, and token {self.token} of {self.owner} has {self.scope}; ask an "
            f"administrator for another: `heunboard token create NAME --scope {scope}`"
        )

    def owner_of_new(self, given: str | None) -> str | None:
        """Whose a new sweep is: the caller's, unless an administrator says otherwise.

        Raises:
            NotPermitted: it names somebody else.
        """
        if self.may(Scope.ADMIN):
            return self.owner if given is None else given
        if given not in (None, self.owner):
            raise NotPermitted(
                f"the sweep names {given!r} as its owner, and token {self.token} is {self.owner!r}'s: leave "
                "`owner` out, or use a token of that owner"
            )
        return self.owner

    def owns(self, owner: str | None) -> bool:
        """Whether what belongs to ``owner`` may be controlled."""
        return self.may(Scope.ADMIN) or (self.may(Scope.SUBMIT) and owner is not None and owner == self.owner)

    def require_own(self, owner: str | None) -> None:
        """Refuse to control what is somebody else's.

        Raises:
            NotAuthenticated, NotPermitted: it is not the caller's, and the caller is no administrator.
        """
        self.require(Scope.SUBMIT)
        if not self.owns(owner):
            whose = "nobody" if owner is None else repr(owner)
            raise NotPermitted(
                f"this sweep belongs to {whose}, and token {self.token} to {self.owner!r}: its owner or an "
                "administrator can do that. You may submit it again as your own"
            )


EVERYBODY = Caller(scope=Scope.ADMIN, told_apart=False)
"""Whoever reaches a server without tokens, which therefore listens on loopback alone."""

NOBODY = Caller(scope=None)
"""Whoever could not be told apart where others are."""

_CURRENT: ContextVar[Caller] = ContextVar("caller", default=EVERYBODY)


def current() -> Caller:
    """Who the request comes from that is being answered."""
    return _CURRENT.get()


def set_current(caller: Caller) -> None:
    """Say who that is, in this request and in whatever it calls."""
    _CURRENT.set(caller)
