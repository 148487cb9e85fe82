"""Brings a database to the newest schema with Alembic, inside the caller's transaction."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from monitor.store.errors import StoreError

SCRIPTS = Path(__file__).parent / "migrations"


def config() -> Config:
    """Alembic's configuration, without a file."""
    made = Config()
    made.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return made


def newest() -> str | None:
    """Revision of the newest migration in the package."""
    return ScriptDirectory.from_config(config()).get_current_head()


def upgrade(connection: Connection, where: str) -> None:
    """Run all missing migrations. Raises StoreError for a store that a newer version wrote."""
    made = config()
    made.attributes["connection"] = connection
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        command.upgrade(made, "head")
    except CommandError as error:
        text = f"{where} was written by a newer aftershock; upgrade aftershock, or choose another data_dir ({error})"
        raise StoreError(text) from error
