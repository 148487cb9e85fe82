"""Where the rig keeps things."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Places:
    """`cache` is expensive to make and kept; `state` is one cluster's and goes with it."""

    cache: Path
    state: Path

    @classmethod
    def usual(cls) -> Places:
        """`.tools/kubernetes` and `.data/cluster`, or where AFTERSHOCK_RIG_CACHE and AFTERSHOCK_RIG_STATE say."""
        cache = os.environ.get("AFTERSHOCK_RIG_CACHE") or REPOSITORY / ".tools" / "kubernetes"
        state = os.environ.get("AFTERSHOCK_RIG_STATE") or REPOSITORY / ".data" / "cluster"
        return cls(Path(cache).resolve(), Path(state).resolve())

    @property
    def base(self) -> Path:
        """A minimal Debian with Python; the base of our images."""
        return self.cache / "base"

    @property
    def node(self) -> Path:
        """The node's root: the base with containerd, etcd, buildah and the Kubernetes programs."""
        return self.cache / "node"

    @property
    def programs(self) -> Path:
        """Kubernetes' own programs."""
        return self.cache / "bin"

    @property
    def images(self) -> Path:
        """Finished images, as archives."""
        return self.cache / "images"

    @property
    def containerd(self) -> Path:
        """containerd's store, kept so that images are unpacked once."""
        return self.cache / "containerd"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def logs(self) -> Path:
        return self.cache / "logs"
