"""The status page: one document for every address of it, and its scripts. They hold no data, so they need no token."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)

STATIC = Path(__file__).with_name("static")
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": CONTENT_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@router.get("/")
@router.get("/runs")
@router.get("/runs/{name}")
@router.get("/faults")
@router.get("/faults/{name}")
@router.get("/schedule")
async def document() -> FileResponse:
    """The page; its scripts look at the address."""
    return _file("index.html")


@router.get("/static/{name}")
async def static(name: str) -> FileResponse:
    """One file of the page."""
    return _file(name)


def _file(name: str) -> FileResponse:
    path = STATIC / name
    if path.suffix not in TYPES or path.name != name or not path.is_file():
        raise HTTPException(404, "the page has no such file")
    return FileResponse(path, media_type=TYPES[path.suffix], headers=HEADERS)
