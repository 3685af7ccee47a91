"""``/audit``: what was changed, by whom, when and from where, and what was refused."""

from __future__ import annotations

from fastapi import APIRouter

from service.dependencies import ADMIN, EngineDep, Limit, PageToken
from service.resources import access
from service.resources.access_schemas import AuditPage
from service.states import AuditOutcome

router = APIRouter(prefix="/audit", tags=["access"], dependencies=[ADMIN])


@router.get("")
def list_audit(
    engine: EngineDep, outcome: AuditOutcome | None = None, limit: Limit = 50, page_token: PageToken = None
) -> AuditPage:
    """Changes and refusals, newest first. For administrators."""
    return access.list_audit(engine, limit=limit, page_token=page_token, outcome=outcome)
