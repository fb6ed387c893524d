"""
An engine that another device of the very same identity has built: `models/.fleet/incoming/<key>/`.

Who puts it there is a fleet. It saves the build alone: it is verified here as one's own would be, and one's own is
built where it fails.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.convert.build import Built
from app.engines.engine import check_content, read_engine
from app.engines.files import store_errors
from app.engines.identity import Identity
from app.errors import ConvertError, EngineError, EngineNotFound, EngineStale, ModelError, StoreError
from app.progress import Reporter

FOLDER = Path(".fleet") / "incoming"
BUILT_ELSEWHERE = "another device of the same identity"


@dataclass(frozen=True)
class Offer:
    models: Path
    identity: Identity
    reporter: Reporter

    def taken(self, work: Path, verify: Callable[[Built], dict[str, Any]]) -> tuple[Built, dict[str, Any]] | None:
        """The engine, copied into `work`, and its figures; None where there is none that is as good as one's own."""
        if not self._folder.is_dir():
            return None
        self.reporter.note("another device of the same kind has built this engine: it is verified, not built")
        try:
            built = self._copied(work)
            return built, verify(built)
        except (ConvertError, EngineError, ModelError) as error:
            self.reporter.warn(f"the engine that another device built is not taken: {error.message}")
            return None
        finally:
            self._discard()

    def _copied(self, work: Path) -> Built:
        manifests = sorted(self._folder.glob("[!.]*.json"))
        if not manifests:
            raise EngineNotFound(f"{self._folder} holds no manifest")
        engine = check_content(read_engine(manifests[0]))
        if engine.identity.key != self.identity.key:
            raise EngineStale(f"{engine.path.name} was built for another device, or of another model")
        copy = work / engine.path.name
        with store_errors(copy, "copy"):
            shutil.copyfile(engine.path, copy)
        facts = {**engine.manifest.build, "built_on": BUILT_ELSEWHERE}
        return Built(copy, engine.manifest.actual, dict(engine.manifest.model), facts)

    def _discard(self) -> None:
        """Once it was taken, or was of no use."""
        try:
            with store_errors(self._folder, "remove"):
                shutil.rmtree(self._folder)
        except StoreError as error:
            self.reporter.warn(error.message)

    @property
    def _folder(self) -> Path:
        return self.models / FOLDER / self.identity.key
