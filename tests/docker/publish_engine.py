"""
Publish an engine for this processor from a graph that was exported elsewhere: the converter's last steps by the
product's own code, in an image that has no torch to export with.

    publish_engine.py MODEL MANIFEST GRAPH

MODEL is where the weights lie, in the models folder. MANIFEST is that of the same conversion on the machine that
exported GRAPH: what was asked for is taken from it, what it was built on is looked at here.
"""

import dataclasses
import sys
from pathlib import Path

from app.device import read_device
from app.engines.engine import alias_for
from app.engines.identity import Identity, platform_of
from app.engines.manifest import Manifest
from app.engines.store import EngineStore
from app.runtime.choose import backend_versions
from app.runtime.onnxruntime import save_optimised
from app.types import Backend


def publish(model: Path, manifest: Path, graph: Path) -> None:
    backend, device, store = Backend.ONNXRUNTIME, read_device(), EngineStore(model.parent / "engines")
    elsewhere = Manifest.from_json(manifest.read_bytes(), manifest.name)
    identity = Identity(elsewhere.identity.recipe, platform_of(device, backend, backend_versions(backend)))
    record = dataclasses.replace(elsewhere, identity=identity, verification={"skipped": True})
    with store.lock(identity), store.workspace(identity) as work:
        built = work / f"engine{backend.suffix}"
        save_optimised(graph, built)
        engine = store.publish(built, record, device_slug=device.slug, alias=alias_for(model, backend))
    print(engine.path)  # noqa: T201


if __name__ == "__main__":
    publish(*map(Path, sys.argv[1:]))
