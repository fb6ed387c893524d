"""
The store: models/engines/<device>/<model>-<precision>-<key>.engine, a manifest beside each, and aliases that point in.

How it stays whole whatever is killed:
- An engine is made in a workspace inside the store, synced, and moved in by renames: first the engine, then its
  manifest. A kill between the two leaves an engine without a manifest, or with an older one whose digest differs:
  nobody takes either for good, and the next build replaces it.
- An alias is a relative symbolic link, replaced in one step, after both files.
- One lock per identity is held while an engine is built (minutes); one lock of the store while files are moved or
  removed (milliseconds). Reading takes no lock and writes nothing, so `infer` runs on a read-only store.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.engines import aliases, upkeep
from app.engines.engine import (
    SLUG,
    Engine,
    check_content,
    manifest_path,
    read_engine,
    read_manifest,
    split_name,
    stored_name,
)
from app.engines.files import make_folder, regular_size, sha256_of, store_errors, sync, write_synced
from app.engines.identity import Change, Identity, in_words
from app.engines.locks import Waiting, guard, hold
from app.engines.manifest import BuildRecord, Manifest
from app.engines.upkeep import Entry, Removal
from app.errors import EngineDamaged, EngineNotFound, EngineStale, StoreError

_SETTLE_S = 0.05
_STUCK_S = 60.0


@dataclass(frozen=True)
class Found:
    engine: Engine


@dataclass(frozen=True)
class Miss:
    """Why there is nothing to use; `changes` lead from the `nearest` identity that was built to the one asked for."""

    reason: str
    nearest: Identity | None = None
    changes: tuple[Change, ...] = ()


class EngineStore:
    def __init__(self, root: Path) -> None:
        """`root` need not exist; the folder that holds it (models/) is where aliases are looked for."""
        self.root = root.absolute()

    # --- looking ---

    def find(self, identity: Identity, *, alias: Path | None = None) -> Found | Miss:
        """
        The engine of this very identity, its bytes compared with its manifest; it may lie on any device's shelf.

        A miss names what changed since the engine that `alias` points at, else since the newest of the same weights.

        Raises:
            StoreError: the store may not be read.
        """
        problems = []
        for path in sorted(self.root.glob(f"[!.]*/*-{identity.short_key}.json")):
            try:
                engine = self._read(path)
                if engine.identity.key == identity.key:
                    return Found(engine)
            except (EngineDamaged, EngineStale) as error:
                problems.append(error.message)
        return self._miss(identity, alias, problems)

    def resolve_alias(self, alias: Path, *, hint: str = "") -> Engine:
        """
        The engine that an alias points at, its bytes compared with its manifest. `check` it before it is loaded.

        Raises:
            EngineNotFound: there is none; `hint` says how to build it.
            EngineDamaged, EngineStale, StoreError: it, or its manifest, cannot be used.
        """
        try:
            return self._resolve(alias, hint)
        except EngineDamaged:
            time.sleep(_SETTLE_S)  # both files may just have been replaced, one after the other
            return self._resolve(alias, hint)

    def engines(self) -> list[Entry]:
        """All that lies in the store, with the aliases of each; bytes are not compared."""
        with store_errors(self.root, "read"):
            return upkeep.entries(self.root)

    # --- building ---

    def lock(
        self, identity: Identity, waiting: Waiting | None = None, timeout_s: float | None = None
    ) -> AbstractContextManager[None]:
        """
        Let one process build this identity. Look again with `find` once it is held: another may have built it.

        Raises:
            StoreError: on entry, if the store cannot be written or `timeout_s` is over.
        """
        return hold(self.root / upkeep.LOCKS / f"{identity.short_key}.lock", waiting, timeout_s)

    @contextmanager
    def workspace(self, identity: Identity) -> Iterator[Path]:
        """A new folder on the store's file system; it is gone at the end, or swept later if this process is killed."""
        with ExitStack() as stack:
            # Under the lock, so that no sweep meets the folder before its guard.
            with self._changing(), store_errors(self.root, "make a workspace in"):
                (self.root / upkeep.WORK).mkdir(exist_ok=True)
                folder = Path(tempfile.mkdtemp(prefix=f"{identity.short_key}-", dir=self.root / upkeep.WORK))
                stack.enter_context(guard(folder / upkeep.GUARD))
            try:
                yield folder
            finally:
                with self._changing(), store_errors(folder, "remove"):
                    shutil.rmtree(folder)

    def preflight(self, alias: Path) -> None:
        """
        Find out before a long build whether it could be published.

        Raises:
            StoreError: the alias's place is taken by a file that is not ours, its file system has no symbolic links,
                or a folder cannot be written.
        """
        aliases.refuse_foreign(alias, self.root)
        with self._changing():
            aliases.probe(alias)

    def publish(self, built: Path, record: BuildRecord, *, device_slug: str, alias: Path) -> Engine:
        """
        Move a built file from its workspace to its shelf, with its manifest, and point the alias at it.

        Raises:
            StoreError: the alias leads where it led before, and what it leads to is untouched.
        """
        aliases.refuse_foreign(alias, self.root)
        if not SLUG.fullmatch(device_slug) or split_name(alias.name)[1] != record.identity.backend.suffix:
            raise ValueError(f"Cannot publish for device {device_slug!r} as {alias.name!r}")
        if not built.resolve().is_relative_to((self.root / upkeep.WORK).resolve()) or not regular_size(built):
            raise StoreError(f"{built} is no built engine in a workspace of the store.", hint="Run the build again.")
        engine_name, manifest_name = stored_name(alias, record)
        staged = built.with_name(manifest_name)
        with store_errors(built, "publish"):
            built.chmod(0o644)  # the runner may be another user
            manifest = Manifest.of(record, engine=engine_name, size=built.stat().st_size, sha256=sha256_of(built))
            staged.unlink(missing_ok=True)
            write_synced(staged, manifest.to_json().encode("ascii"))
            sync(built)
        shelf = self.root / device_slug
        engine = Engine(shelf / engine_name, manifest)
        with self._changing():
            with store_errors(shelf, "publish into"):
                make_folder(shelf)
                self._refuse_outside(shelf)
                built.replace(engine.path)
                staged.replace(shelf / manifest_name)
                sync(shelf)
                sync(self.root)
            aliases.point(alias, engine.path, self.root)
        return engine

    def link(self, engine: Engine, alias: Path) -> None:
        """
        Point an alias at an engine of the store; where it already does, nothing is written.

        Raises:
            StoreError: as `preflight`.
            EngineDamaged: the engine has been removed meanwhile.
        """
        if aliases.points_at(alias, engine.path):
            return
        aliases.refuse_foreign(alias, self.root)
        with self._changing():
            read_engine(manifest_path(engine.path))
            aliases.point(alias, engine.path, self.root)

    # --- keeping clean ---

    def sweep(self) -> list[Removal]:
        """Remove what killed processes left. Cheap where there is nothing: call it whenever a conversion starts."""
        with store_errors(self.root, "read"):
            found = upkeep.litter(self.root)
        if not found:
            return []
        with self._changing():
            return self._remove(upkeep.litter(self.root))

    def plan_prune(self) -> list[Removal]:
        """What `prune` would remove: litter, and engines that no alias points at. Only a look."""
        with store_errors(self.root, "read"):
            return upkeep.unused(self.root)

    def prune(self, plan: Iterable[Removal]) -> list[Removal]:
        """Remove what was planned and still may go; returns what was removed."""
        agreed = {removal.paths for removal in plan}
        if not agreed:
            return []
        with self._changing():
            return self._remove(removal for removal in upkeep.unused(self.root) if removal.paths in agreed)

    # --- inside ---

    def _changing(self) -> AbstractContextManager[None]:
        """Held while files are moved or removed: milliseconds, so a minute's wait means that its holder is stuck."""
        return hold(self.root / upkeep.LOCKS / "store.lock", timeout_s=_STUCK_S)

    def _remove(self, removals: Iterable[Removal]) -> list[Removal]:
        own = self.root / upkeep.LOCKS / "store.lock"
        done = [removal for removal in removals if own not in removal.paths]
        for removal in done:
            with store_errors(removal.paths[0], "remove"):
                upkeep.remove(removal, self.root)
        return done

    def _read(self, manifest: Path) -> Engine:
        self._refuse_outside(manifest.parent)
        return check_content(read_engine(manifest))

    def _resolve(self, alias: Path, hint: str) -> Engine:
        if not os.path.lexists(alias):
            raise EngineNotFound(f"There is no engine at {alias}.", hint=hint)
        aliases.refuse_foreign(alias, self.root)
        target = Path(os.path.realpath(alias))
        if not target.is_relative_to(os.path.realpath(self.root)):
            raise EngineNotFound(f"{alias} points into another engine store, to {target}.", hint=hint)
        if not os.path.lexists(target):
            raise EngineNotFound(f"{alias} points at {target.name}, which is gone.", hint=hint)
        return self._read(manifest_path(target))

    def _miss(self, identity: Identity, alias: Path | None, problems: list[str]) -> Miss:
        nearest = self._nearest(identity, alias)
        changes = tuple(nearest.changes(identity)) if nearest else ()
        if problems:
            return Miss(" ".join(problems), nearest, changes)
        if changes:
            return Miss(f"Changed since the last build: {in_words(changes)}.", nearest, changes)
        return Miss("No engine has been built for this model yet.")

    def _nearest(self, identity: Identity, alias: Path | None) -> Identity | None:
        known = [manifest for path in self.root.glob("[!.]*/*.json") if (manifest := _readable(path))]
        target = os.path.realpath(alias) if alias else ""
        for manifest in known:
            if target and Path(target).name == manifest.engine:
                return manifest.identity
        weights = identity.recipe.get("weights")  # two models have nothing to do with each other
        same = [manifest for manifest in known if manifest.identity.recipe.get("weights") == weights]
        same.sort(key=lambda manifest: (manifest.identity.backend is identity.backend, manifest.created))
        return same[-1].identity if same else None

    def _refuse_outside(self, shelf: Path) -> None:
        if shelf.is_symlink() or shelf.resolve().parent != self.root.resolve():
            raise StoreError(
                f"{shelf} is a link that leads out of the engine store.",
                hint="Replace it by a folder; to keep engines elsewhere, move the whole models folder.",
            )


def _readable(path: Path) -> Manifest | None:
    try:
        return read_manifest(path)
    except (EngineDamaged, EngineStale):
        return None  # it cannot say what it was built from; `engines list` shows it with its problem
