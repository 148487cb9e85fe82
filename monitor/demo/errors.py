"""The demo's one error."""

from __future__ import annotations


class DemoError(Exception):
    """The demo cannot go on; the text is one line for a person: what, where, and what would be right."""
