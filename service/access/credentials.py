"""Secrets that are shown once: ``hb_ID_SECRET`` of a token, ``hbs_ID_SECRET`` in the cookie of a browser.

The id is public: a row is looked up by it. The secret is 32 random bytes, of which the database keeps the
SHA-256 alone. A slow hash, as passwords need, would protect nothing here: it makes guessing what people
choose expensive; 2^256 random values cannot be guessed at any price, but every request would pay for it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

TOKEN, SIGN_IN = "hb", "hbs"
"""How the two kinds begin, so that people and programs that look for leaked secrets know them."""

SECRET_BYTES = 32
ID_BYTES = 8

_WRITTEN = re.compile(r"(hbs?)_([0-9a-f]{16})_([\w-]{43})", re.ASCII)
_LEAKED = re.compile(r"(hbs?_[0-9a-f]{0,16})_?[\w-]*", re.ASCII)


class Credential(NamedTuple):
    """What somebody presents to be known."""

    kind: str
    public_id: str
    secret: str

    def __str__(self) -> str:
        return "_".join(self)

    @property
    def digest(self) -> str:
        """What is kept of the secret."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    def proves(self, digest: str) -> bool:
        """Whether ``digest`` was made of this secret; the time it takes does not tell how near it is."""
        return hmac.compare_digest(self.digest, digest)


def new(kind: str) -> Credential:
    """A fresh one."""
    return Credential(kind, secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES))


def read(text: str, kind: str) -> Credential | None:
    """The credential that ``text`` is, if it has the form of this kind."""
    found = _WRITTEN.fullmatch(text)
    return Credential(*found.groups()) if found and found[1] == kind else None


def without_secrets(text: str) -> str:
    """The text with whatever looks like a secret cut to its public part."""
    return _LEAKED.sub(r"\1_...", text)
