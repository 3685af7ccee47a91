"""Tokens of a test's database, and browsers that present them."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import Engine

from service.access import tokens
from service.states import Scope
from tests.support.web import browser_of

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


def token(engine: Engine, scope: str = "admin", owner: str = "ada", **others: Any) -> str:
    """A new token."""
    return str(tokens.create(engine, name=owner, scope=Scope(scope), owner=owner, **others).secret)


def public_id(secret: str) -> str:
    """The part of a token that is no secret."""
    return secret.split("_")[1]


def bearer(secret: str) -> dict[str, str]:
    """The header that presents a token."""
    return {"Authorization": f"Bearer {secret}"}


def known(app: FastAPI, secret: str) -> httpx.Client:
    """A client that presents a token."""
    http = browser_of(app)
    http.headers.update(bearer(secret))
    return http


def signed_in(app: FastAPI, secret: str) -> httpx.Client:
    """A browser in which somebody has signed in."""
    http = browser_of(app)
    answer = http.post("/sign-in", data={"token": secret}, headers=OWN_PAGE)
    assert answer.status_code == 303, answer.text
    return http
