"""One replica's candidacy for the lease: asks the API server, in a thread of its own, what the election wants to know."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from faults.base import FaultError
from monitor.leader.election import Election, Read, Record, Role, Wait, Write
from monitor.leader.lease import Lease, Outrun

log = logging.getLogger(__name__)
T = TypeVar("T")


def since_boot() -> float:
    """Seconds on the clock that also goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Candidacy:
    """Wins the lease and keeps it. Renewed from the event loop: a service that hangs does not go on leading."""

    def __init__(self, lease: Lease, identity: str, seconds: float, now: Callable[[], float] = since_boot) -> None:
        self.identity = identity
        self.trouble = "the lease was not looked at yet"
        """Why the Lease cannot be read or written; empty while it can."""
        self._lease = lease
        self._now = now
        self._election = Election(identity, seconds)
        self._lost = asyncio.Event()
        self._given_up = ""
        # Its own: the threads that others share may all be waiting for a store that does not answer.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lease")

    # --- what others ask --------------------------------------------------------------------------

    @property
    def holder(self) -> str:
        """Who leads, as far as is known; empty when nobody does."""
        known = self._election.known
        return (known.holder or "") if known is not None else ""

    def may_act(self) -> str | None:
        """None while this replica leads for certain, else why not. For any thread, at any time."""
        if self._given_up:
            return self._given_up
        if self._election.may_act(self._now()):
            return None
        if self._election.role is Role.LEADER:
            return f"the lease could not be renewed in time: {self.trouble or 'this process stood still'}"
        return self._election.reason or f"this replica stands by; {self.holder or 'nobody'} leads"

    # --- life -------------------------------------------------------------------------------------

    async def win(self) -> None:
        """Returns when this replica leads."""
        while self._election.role is Role.CANDIDATE:
            await self._step()
        log.warning("this replica leads now (%s)", self.identity)

    async def keep(self) -> str:
        """Renew until the lease is lost; returns why. A lease that only could not be renewed in time is not lost yet.

        Nobody may act then, but as long as nobody else has taken it, it is renewed as soon as the API server answers.
        """
        told = asyncio.ensure_future(self._lost.wait())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait({told, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if renewing.done():
                renewing.result()
        finally:
            told.cancel()
            renewing.cancel()
            await asyncio.gather(told, renewing, return_exceptions=True)
        return self._election.reason

    async def _renew(self) -> None:
        while self._election.role is Role.LEADER:
            await self._step()

    def lose(self, reason: str) -> None:
        """Somebody else leads, we hear; on the event loop."""
        self._election.lose(reason)
        self._lost.set()

    def give_up(self, reason: str) -> None:
        """Act no more from this moment, whatever the lease says."""
        self._given_up = reason

    async def release(self) -> None:
        """Give the lease back so that another replica leads at once; nothing may act from here on."""
        self.give_up("the lease was given back")
        if self._election.role is not Role.LEADER:
            return
        try:
            # Behind a renewal that may be on its way still: there is one thread.
            await self._ask(self._lease.release)
            log.info("the lease was given back")
        except (FaultError, Outrun) as error:
            log.warning("the lease could not be given back, it runs out by itself: %s", error)
        self._election.lose("the lease was given back")

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    # --- inside -----------------------------------------------------------------------------------

    async def _step(self) -> None:
        step = self._election.next(self._now())
        if isinstance(step, Wait):
            await asyncio.sleep(max(0.0, step.until - self._now()))
            return
        sent = self._now()
        try:
            await self._do(step, sent)
        except Outrun as error:
            log.info("the lease: %s", error)
            self._election.outrun(self._now())
        except FaultError as error:
            self._complain(str(error))
            self._election.unanswered(self._now())
        else:
            self._complain("")

    async def _do(self, step: Read | Write, sent: float) -> None:
        if isinstance(step, Read):
            record = await self._ask(self._lease.read)
            self._election.saw(record, self._now())
            return
        over = step.over
        written: Record = await self._ask(lambda: self._lease.write(over))
        self._election.wrote(written, sent)

    async def _ask(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _complain(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.warning("the lease: %s", trouble)
        self.trouble = trouble
