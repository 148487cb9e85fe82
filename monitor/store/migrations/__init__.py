"""Alembic migrations; applied by `monitor.store.migrate`."""
