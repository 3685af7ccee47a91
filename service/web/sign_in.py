"""``/sign-in``: a token is given once, and the browser keeps a cookie in its place; ``/sign-out``."""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Engine
from starlette.responses import HTMLResponse, RedirectResponse, Response

from service.access import credentials, tokens
from service.access.authentication import Authentication
from service.access.credentials import SIGN_IN, TOKEN, Credential
from service.dependencies import AuthenticationDep, EngineDep, cookie_name
from service.errors import NotAuthenticated
from service.web.render import page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

FORM = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 10_000
PATH = "/sign-in"

NextQuery = Annotated[str, Query(max_length=2000, description="The page to go on to.")]


def address(next: str) -> str:
    """Of the page, which then leads on to another."""
    return f"{PATH}?{urlencode({'next': next})}" if next != "/" else PATH


def own_path(next: str) -> str:
    """A page of this server, whatever somebody wrote into a link."""
    return next if next.startswith("/") and not next.startswith(("//", "/\\")) and next.isprintable() else "/"


async def _form(request: Request) -> dict[str, str]:
    """The fields of the form; none of a body that is no form of ours."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if kind != FORM or len(body) > MAX_FORM_BYTES:
        return {}
    return {name: values[0] for name, values in parse_qs(body.decode("ascii", "replace")).items()}


FormDep = Annotated[dict[str, str], Depends(_form)]


@router.get(PATH)
def sign_in_page(next: NextQuery = "/") -> HTMLResponse:
    """Where a token is pasted."""
    return _page(own_path(next), "")


@router.post(PATH)
def sign_in(
    request: Request, engine: EngineDep, authentication: AuthenticationDep, form: FormDep
) -> Response:
    """Give the browser a cookie in place of the token, and lead on."""
    next = own_path(form.get("next", "/"))
    given = credentials.read(form.get("token", "").strip(), TOKEN)
    if given is None:
        return _page(next, "This is no token: it begins with hb_ and has 63 characters.")
    try:
        request.state.signed_in = authentication.caller(given)
    except NotAuthenticated as error:
        return _page(next, f"{str(error)[0].upper()}{str(error)[1:]}.")
    return _signed_in(request, engine, given, next)


@router.post("/sign-out")
def sign_out(request: Request, engine: EngineDep, authentication: AuthenticationDep) -> Response:
    """Forget the browser, here and in the database."""
    known = credentials.read(request.cookies.get(cookie_name(request), ""), SIGN_IN)
    if known is not None and _is_valid(authentication, known):
        tokens.sign_out(engine, known.public_id)
        authentication.forget()
    answer = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    _set_cookie(request, answer, "", None)
    return answer


def _is_valid(authentication: Authentication, known: Credential) -> bool:
    try:
        authentication.caller(known)
    except NotAuthenticated:
        return False
    return True


def _signed_in(request: Request, engine: Engine, given: Credential, next: str) -> Response:
    hours = timedelta(hours=request.app.state.sign_in_hours)
    answer = RedirectResponse(next, HTTPStatus.SEE_OTHER)
    if request.state.signed_in.told_apart:
        made, ends = tokens.sign_in(engine, given.public_id, lasts=hours)
        _set_cookie(request, answer, str(made), ends)
    return answer


def _set_cookie(request: Request, answer: Response, value: str, ends: datetime | None) -> None:
    """For this host alone, out of reach of scripts.

    Lax and not Strict, so that a link in a mail leads somebody who is signed in to the page and not to the
    sign-in: reading changes nothing here, and changes are refused to foreign pages whatever they send.
    """
    answer.set_cookie(
        cookie_name(request),
        value,
        max_age=0 if ends is None else None,  # "gone", whatever time the browser thinks that it is
        expires=ends,
        path="/",
        secure=request.scope["scheme"] == "https",
        httponly=True,
        samesite="lax",
    )


def _page(next: str, problem: str) -> HTMLResponse:
    status = HTTPStatus.UNAUTHORIZED if problem else HTTPStatus.OK
    return page("sign_in.html", status=status, next=next, problem=problem)
