"""The image of the version of aftershock after this one: its store has one more migration."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import uuid
from pathlib import Path
from typing import Any

from monitor.demo.steps import Report
from monitor.store.database import HEAD
from tests.cluster.rig.images import AFTERSHOCK, archive_of, files, provide
from tests.cluster.rig.node import Node
from tests.cluster.rig.places import REPOSITORY

REVISION = f"{int(HEAD) + 1:04}"
PLACE = "opt/next"
"""Where its code lies in the image, before what was installed."""
_MIGRATION = f'''
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{REVISION}", "{HEAD}", None, None


def upgrade() -> None:
    op.add_column("runs", sa.Column("of_the_next_version", sa.Text))
'''
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def provide_next(node: Node, report: Report) -> str:
    """Hand the image to the node, as one more layer on the present version's; returns its tag."""
    present = provide(AFTERSHOCK, node, report)
    tag = f"{present}-next"
    layer = _layer()
    with tarfile.open(archive_of(AFTERSHOCK, node.places)) as archive:
        (manifest,) = json.loads(_member(archive, "manifest.json"))
        config = json.loads(_member(archive, manifest["Config"]))
        layers = [
            {"mediaType": _LAYER, "size": archive.getmember(name).size, "digest": f"sha256:{name.removesuffix('.tar')}"}
            for name in manifest["Layers"]
        ]
    config["rootfs"]["diff_ids"].append(_digest(layer))
    config["config"]["Env"].append(f"PYTHONPATH=/{PLACE}")
    config.pop("history", None)
    image = node.places.images / f"next-{uuid.uuid4().hex}.tar"
    try:
        _write(image, tag, json.dumps(config).encode(), layers, layer)
        report(f"handing {tag} to the node")
        node.take_image(image)
    finally:
        image.unlink(missing_ok=True)
    return tag


def _layer() -> bytes:
    """This version's code with the migration."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as layer:
        for name in sorted(files(("probes", "faults", "monitor", "dashboards"))):
            content = (REPOSITORY / name).read_bytes()
            if name == "monitor/store/database.py":
                content = content.replace(f'HEAD = "{HEAD}"'.encode(), f'HEAD = "{REVISION}"'.encode())
                assert REVISION.encode() in content
            _add(layer, f"{PLACE}/{name}", content)
        _add(layer, f"{PLACE}/monitor/store/migrations/versions/m{REVISION}_next.py", _MIGRATION.encode())
    return made.getvalue()


def _write(image: Path, tag: str, config: bytes, layers: list[dict[str, Any]], layer: bytes) -> None:
    """As an OCI layout without the layers that the node has already."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, "size": len(config), "digest": _digest(config)},
        "layers": [*layers, {"mediaType": _LAYER, "size": len(layer), "digest": _digest(layer)}],
    }
    body = json.dumps(manifest).encode()
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": _MANIFEST,
                "size": len(body),
                "digest": _digest(body),
                "annotations": {"io.containerd.image.name": tag},
            }
        ],
    }
    with tarfile.open(image, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(archive, "index.json", json.dumps(index).encode())
        for blob in (body, config, layer):
            _add(archive, f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}", blob)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    assert stream is not None
    return stream.read()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
