"""
Kill publishing processes, and prove after each that the next conversion ends in one whole engine and no litter.

Run as a program of its own: it forks, which only a process without threads may do safely.
    python -m tests.engines.kills each FOLDER     at every step that the audit hook sees, one after the other
    python -m tests.engines.kills random FOLDER N at N random moments
It prints how many were killed.
"""

import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.engines.engine import Engine
from app.engines.identity import Identity
from app.engines.store import EngineStore, Found
from app.errors import EngineDamaged
from tests.engines.samples import SLUG, default_alias, everything, identity, publish


def convert(store: EngineStore, wanted: Identity) -> Engine:
    """What a plain conversion does with the store."""
    store.sweep()
    found = store.find(wanted, alias=default_alias(store))
    if isinstance(found, Found):
        store.link(found.engine, default_alias(store))
        return found.engine
    return publish(store, wanted)


def prove_whole(store: EngineStore, wanted: Identity) -> None:
    alias = default_alias(store)
    if alias.is_symlink():
        with suppress(EngineDamaged):  # an older pair, one half replaced: seen, not taken
            store.resolve_alias(alias)
    engine = convert(store, wanted)
    assert store.resolve_alias(alias) == engine
    store.prune(store.plan_prune())
    base = f"engines/{SLUG}/{engine.path.stem}"
    left = everything(store.root.parent)
    assert left == {alias.name, f"{base}.engine", f"{base}.json"}, left


def forked(work: Any) -> int:
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return child


def die_at(step: int, root: str) -> None:
    """Kill this process at the n-th thing it does to the store's files."""
    seen = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        if event == "fcntl.flock" or any(isinstance(arg, str | os.PathLike) and root in str(arg) for arg in args):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def killed_publishing(step: int, store: EngineStore, wanted: Identity) -> bool:
    """False if it was through before its n-th step."""

    def work() -> None:
        die_at(step, str(store.root.parent))
        publish(store, wanted, content=f"plan {step}".encode())

    _, status = os.waitpid(forked(work), 0)
    return os.WIFSIGNALED(status)


def first_build(root: Path, step: int) -> bool:
    store = EngineStore(root / f"first{step}" / "engines")
    killed = killed_publishing(step, store, identity())
    prove_whole(store, identity())
    return killed


def forced_build(root: Path, step: int) -> bool:
    store = EngineStore(root / "forced" / "engines")
    publish(store)
    killed = killed_publishing(step, store, identity())
    assert default_alias(store).is_symlink()
    prove_whole(store, identity())
    return killed


def build_after_a_change(root: Path, step: int) -> bool:
    store = EngineStore(root / "changed" / "engines")
    old, new = publish(store), identity(precision="INT8")
    store.prune(store.plan_prune())
    killed = killed_publishing(step, store, new)
    leads_to = store.resolve_alias(default_alias(store))  # whatever the moment, to a whole engine
    assert leads_to == old or leads_to.identity == new
    prove_whole(store, new)
    return killed


def each(root: Path) -> int:
    killed = 0
    for scene in (first_build, forced_build, build_after_a_change):
        step = 1
        while scene(root, step):
            step += 1
        killed += step - 1
    return killed


def at_random(root: Path, count: int) -> int:
    store = EngineStore(root / "engines")

    def work() -> None:
        while True:
            publish(store, identity(batch=str(random.randint(1, 3))), content=os.urandom(50_000))

    started = time.monotonic()
    publish(store)
    once = time.monotonic() - started
    for _ in range(count):
        child = forked(work)
        time.sleep(random.uniform(0, 3 * once))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        prove_whole(store, identity())
    return count


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    print(each(folder) if sys.argv[1] == "each" else at_random(folder, int(sys.argv[3])))  # noqa: T201
