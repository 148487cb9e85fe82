"""Images, built with buildah in the node's tree; no registry and no Docker engine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.demo.steps import Report, run_step
from tests.cluster.rig.node import Node
from tests.cluster.rig.places import REPOSITORY, Places
from tests.cluster.rig.trees import CLEAN, alone, borrow_network, in_tree, remove_tree

BASE = "localhost/base:1"
_BUILD = Path(__file__).with_name("build-image")
_NOT_PART = {"__pycache__", ".mypy_cache", ".ruff_cache"}


@dataclass(frozen=True, slots=True)
class Image:
    """What is built from what; the tag follows from the content."""

    name: str
    dockerfile: str
    sources: tuple[str, ...]
    """Files and folders of the repository that the Dockerfile copies."""

    @property
    def tag(self) -> str:
        """The name that a pod asks for."""
        digest = hashlib.sha256()
        for file in sorted(files((self.dockerfile, *self.sources))):
            digest.update(f"{file}\0".encode())
            digest.update((REPOSITORY / file).read_bytes())
        return f"docker.io/local/{self.name}:{digest.hexdigest()[:12]}"


DYNAMO = Image("dynamo", "tests/cluster/dynamo/Dockerfile", ("monitor/demo/dynamo.txt", "monitor/demo/model.py"))
AFTERSHOCK = Image(
    "aftershock",
    "Dockerfile",
    ("pyproject.toml", "uv.lock", "README.md", "LICENSE", "probes", "faults", "monitor", "dashboards"),
)


def files(names: Sequence[str]) -> set[str]:
    """What lies below these of the repository's files and folders, but for what tools leave there."""
    found = set()
    for name in names:
        place = REPOSITORY / name
        inside = place.rglob("*") if place.is_dir() else [place]
        found |= {
            str(file.relative_to(REPOSITORY)) for file in inside if file.is_file() and _NOT_PART.isdisjoint(file.parts)
        }
    return found


def provide(image: Image, node: Node, report: Report) -> str:
    """Build the image unless that is done, hand it to the node unless it has it; returns the tag."""
    tag = image.tag
    if _has(node, tag):
        return tag  # without waiting for somebody who builds another
    archive = archive_of(image, node.places)
    # One at a time, also over several checkouts that share a node: an archive goes when a newer one is built.
    with alone(node.places.cache / ".images.lock", report):
        if _has(node, tag):
            return tag
        if not archive.exists():
            _build(image, archive, node.places, report)
        report(f"handing {tag} to the node")
        node.take_image(archive)
    return tag


def _has(node: Node, tag: str) -> bool:
    return tag in node.run("ctr", "-n", "k8s.io", "images", "ls", "-q").stdout.split()


def archive_of(image: Image, places: Places) -> Path:
    """Where its archive is, once it is built."""
    return places.images / f"{image.name}-{image.tag.rpartition(':')[2]}.tar"


def _build(image: Image, archive: Path, places: Places, report: Report) -> None:
    report(f"building {image.tag}; the first build takes some minutes")
    places.images.mkdir(exist_ok=True)
    work = places.cache / "image-work"
    remove_tree(work)
    (work / "storage").mkdir(parents=True)
    (work / "context").mkdir()
    for file in files((image.dockerfile, *image.sources)):
        (work / "context" / file).parent.mkdir(parents=True, exist_ok=True)
        (work / "context" / file).write_bytes((REPOSITORY / file).read_bytes())
    borrow_network(places.node)
    binds = ((places.base, "/image/base"), (work / "context", "/image/context"), (work / "storage", "/image/storage"))
    try:
        words = ["bash", "/image/script/build-image", image.dockerfile, image.tag, BASE, f"/image/out/{archive.name}"]
        command = in_tree(
            places.node, words, *binds, (places.images, "/image/out"), (_BUILD.parent, "/image/script"), overlay=True
        )
        run_step(f"building {image.name}", command, report, log=places.logs / f"image-{image.name}.log", env=CLEAN)
    finally:
        remove_tree(work)
    for old in places.images.glob(f"{image.name}-*.tar"):
        if old != archive:
            old.unlink()
