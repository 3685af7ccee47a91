"""``/tokens``: make, list and revoke the tokens by which programs and people are known."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from service.access import tokens
from service.access.tokens import MAX_DAYS, MAX_TEXT, Source
from service.api.content_types import require_json
from service.dependencies import ADMIN, AuthenticationDep, CallerDep, EngineDep, Limit, PageToken, TokenId
from service.errors import NotPermitted
from service.resources import access
from service.resources.access_schemas import NewToken, Token, TokenList
from service.states import Scope

router = APIRouter(prefix="/tokens", tags=["access"], dependencies=[ADMIN])

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


class WantedToken(BaseModel):
    """What a new token is for."""

    model_config = ConfigDict(extra="forbid")

    name: Text = Field(description="What it is for, to tell it from others.", examples=["ada's laptop"])
    scope: Scope = Field(description="What it allows; each scope includes those before it.")
    owner: Text | None = Field(
        default=None, description="Whose sweeps it submits and controls; by default called as the token."
    )
    days: float | None = Field(
        default=None, gt=0, le=MAX_DAYS, description="Until it expires; without it, it does not."
    )


def _source(request: Request, caller: CallerDep) -> Source:
    address = request.client.host if request.client else ""
    return Source(caller.owner or "", caller.token, address)


SourceDep = Annotated[Source, Depends(_source)]


@router.get("")
def list_tokens(engine: EngineDep, limit: Limit = 50, page_token: PageToken = None) -> TokenList:
    """Every token that was made, newest first, without secrets."""
    return access.list_tokens(engine, limit=limit, page_token=page_token)


@router.post("", status_code=HTTPStatus.CREATED, dependencies=[Depends(require_json)])
def create_token(
    engine: EngineDep,
    authentication: AuthenticationDep,
    caller: CallerDep,
    source: SourceDep,
    wanted: WantedToken,
) -> NewToken:
    """Make a token. Its secret is in this answer and nowhere else.

    The first one is made with ``heunboard token create`` where the database is: until then nobody is known.
    """
    if not caller.told_apart:
        raise NotPermitted(
            "the first token is made on the command line, where the database is: `heunboard token create "
            "NAME --scope admin`; from then on everybody needs one"
        )
    made = tokens.create(
        engine, name=wanted.name, scope=wanted.scope, owner=wanted.owner, days=wanted.days, source=source
    )
    authentication.forget()
    return access.new(made)


@router.delete("/{id}")
def revoke_token(
    engine: EngineDep, authentication: AuthenticationDep, source: SourceDep, id: TokenId
) -> Token:
    """Refuse a token from now on, and whoever signed in with it: here at once, elsewhere within 5 seconds."""
    row = tokens.revoke(engine, id, source=source)
    authentication.forget()
    return access.shown(row)
