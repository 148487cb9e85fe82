"""Settings of replicas."""

from __future__ import annotations

from pydantic import Field

from monitor.config.section import Section


class LeaderSpec(Section):
    """Several replicas of which one leads."""

    enabled: bool = Field(
        default=False,
        description="Run as one of several replicas on one PostgreSQL store: the one that holds the Lease probes and "
        "injects, the others stand by.",
    )
    lease_name: str = Field(
        default="aftershock",
        pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$",
        description="Name of the Lease (coordination.k8s.io), one for each deployment that is watched.",
    )
    namespace: str | None = Field(default=None, description="Its namespace; by default the pod's own, else `default`.")
    lease_seconds: int = Field(
        default=10,
        ge=5,
        le=300,
        description="How long a leader that fell silent is waited for; it may act for 0.7 of that itself.",
    )
    identity: str | None = Field(
        default=None,
        pattern=r"^[-.a-zA-Z0-9]{1,200}$",
        description="Name of this replica; by default POD_NAME, else the host's. What makes it unique is added.",
    )
    service: str | None = Field(
        default=None,
        pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$",
        description="Service without a selector, in the Lease's namespace, that shall lead to the leader: it writes its "
        "own address (POD_IP) into the Endpoints of that name.",
    )
