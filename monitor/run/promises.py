"""What is over and not done: faults that could not be put back, results that could not be stored. Tried until it is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from monitor.model import Run
from monitor.run import recovery
from monitor.run.life import Parts
from monitor.store.errors import StoreError

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0


@dataclass(slots=True)
class Promises:
    """Kept by one task, from `begin` to `end`."""

    store: recovery.RunStore
    parts: Callable[[], Parts]
    stuck: dict[str, Run] = field(default_factory=dict)
    """Runs whose receipt is open, by id."""
    unsaved: dict[str, Run] = field(default_factory=dict)
    """Finished runs of which the store has no last word yet, by id."""
    _keeper: asyncio.Task[None] | None = None

    def begin(self, left: Iterable[Run]) -> None:
        """Of the runs that an earlier process left, those that could not be put back are tried again."""
        self.stuck = {run.id: run for run in left if run.receipt_open}
        self._keeper = asyncio.create_task(self._keep())

    def task(self) -> asyncio.Task[None] | None:
        """The task that keeps them, for who ends it with others."""
        return self._keeper

    async def end(self) -> None:
        """Try no more."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def take(self, run: Run) -> None:
        """A run that has just ended."""
        if run.receipt_open:
            self.stuck[run.id] = run
        if not await self._is_stored(run):
            self.unsaved[run.id] = run

    async def retry(self, run: Run) -> Run:
        """Try once more to put back what it broke."""
        parts = self.parts()
        after = await recovery.revert_open(run, parts.target, parts.clock)
        with contextlib.suppress(StoreError):
            await asyncio.to_thread(parts.save, after)
        if after.receipt_open:
            self.stuck[run.id] = after
        else:
            self.stuck.pop(run.id, None)
        parts.on_change(after)
        return after

    async def _is_stored(self, run: Run) -> bool:
        try:
            stored = await asyncio.to_thread(self.store.run, run.id)
        except StoreError:
            return False
        return stored is not None and stored.phase is run.phase

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            for run in list(self.stuck.values()):
                await self.retry(run)
            for run in list(self.unsaved.values()):
                try:
                    await asyncio.to_thread(self.parts().save, run)
                    del self.unsaved[run.id]
                except StoreError as error:
                    log.warning("run %s still cannot be stored: %s", run.id, error)
