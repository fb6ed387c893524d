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


def kill_at_each_step(store: EngineStore, wanted: Identity) -> int:
    step = 0
    while True:
        step += 1

        def work(step: int = step) -> None:
            die_at(step, str(store.root.parent))
            publish(store, wanted, content=f"plan {step}".encode())

        _, status = os.waitpid(forked(work), 0)
        prove_whole(store, wanted)
        if not os.WIFSIGNALED(status):
            return step - 1


def each(root: Path) -> int:
    killed = 0
    # Every step of a first build (the store is emptied before each) …
    for step in range(1, 200):
        store = EngineStore(root / f"first{step}" / "engines")

        def work(step: int = step, store: EngineStore = store) -> None:
            die_at(step, str(store.root.parent))
            publish(store)

        _, status = os.waitpid(forked(work), 0)
        prove_whole(store, identity())
        if not os.WIFSIGNALED(status):
            break
        killed += 1
    # … of a forced build over the same identity, and of one that follows a changed setting.
    store = EngineStore(root / "again" / "engines")
    publish(store)
    killed += kill_at_each_step(store, identity())
    return killed + kill_at_each_step(store, identity(precision="INT8"))


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
