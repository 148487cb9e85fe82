"""PromQL of one deployment's monitor: aftershock's series carry no deployment, `aftershock_build_info` does."""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.rules.facts import Facts
from dashboards.rules.windows import duration

PAIR = "on (job, instance)"
EACH = "on (job, instance, fault)"
_INHERITED = "recovery_seconds"


@dataclass(frozen=True)
class Expressions:
    """Selectors and conditions that several rules share."""

    facts: Facts

    @property
    def monitor(self) -> str:
        """The deployment's monitors."""
        return f'aftershock_build_info{{deployment="{self.facts.deployment}"}}'

    def own(self, name: str, *matchers: str, window: str = "", offset: str = "") -> str:
        """A metric, without its prefix, of this deployment's monitors; with a window, its growth over it."""
        braces = f"{{{','.join(matchers)}}}" if matchers else ""
        series = f"aftershock_{name}{braces}"
        if not window:
            return f"({series} and {PAIR} {self.monitor})"
        # A monitor that has moved to another address in the meantime belonged to the deployment as well.
        since = f"last_over_time({self.monitor}[{duration(8 * 86_400)}])"
        shifted = f" offset {offset}" if offset else ""
        return f"(increase({series}[{window}]{shifted}) and {PAIR} {since})"

    def recorded(self, name: str) -> str:
        """A recorded series of this deployment."""
        return f'{name}{{deployment="{self.facts.deployment}"}}'

    @property
    def rate_window(self) -> str:
        return duration(self.facts.rate_seconds)

    # --- faults -----------------------------------------------------------------------------

    @property
    def _faults(self) -> str:
        controls = "|".join(self.facts.controls)
        return f'fault!~"{controls}"'

    def began(self, phases: str = "injected|effective") -> str:
        """When the last run of each fault began to act; control runs excepted."""
        stamps = self.own("fault_last_timestamp_seconds", f'phase=~"{phases}"', self._faults)
        return f"(max by (job, instance, fault) ({stamps}) > 0)"

    @property
    def limit(self) -> str:
        """The recovery objective of each fault that has one, and the lag after which it can be judged."""
        limits = self.own("fault_objective_limit", f'objective="{_INHERITED}"')
        return f"(max by (job, instance, fault) ({limits}) + {self.facts.lag_seconds})"

    @property
    def planned(self) -> str:
        """One series for each fault whose harm is to be expected at this moment.

        With a recovery objective: until it is over, whether or not the fault still acts. Without one: while the
        fault acts, and for the horizon of a run after that.
        """
        judged = f"(time() - {self.began()} < {EACH} {self.limit})"
        grace = self.facts.horizon_seconds + self.facts.lag_seconds
        recent = f"(time() - {self.began('injected|effective|reverted')} < {grace:g})"
        acting = f"(max by (job, instance, fault) ({self.own('fault_active', self._faults)}) == 1)"
        return f"({judged} or (({recent} or {acting}) unless {EACH} {self.limit}))"

    @property
    def hurting(self) -> str:
        """The share of bad requests while it is too large."""
        bad = self.recorded(f"aftershock:probe_bad_requests:rate{self.rate_window}")
        asked = self.recorded(f"aftershock:probe_requests:rate{self.rate_window}")
        return f"({bad} / ({asked} > 0) > {self.facts.max_bad_ratio:g})"

    def finished_within(self, seconds: float) -> str:
        """Faults whose last run ended not long ago."""
        ended = self.own("fault_last_timestamp_seconds", 'phase="finished"')
        return f"(time() - max by (job, instance, fault) ({ended}) < {seconds:g})"

    def verdict(self, verdict: str) -> str:
        """Faults whose last run ended like that."""
        last = self.own("fault_last_verdict", f'verdict="{verdict}"')
        return f"(max by (job, instance, fault) ({last}) == 1)"
