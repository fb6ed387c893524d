"""`jetsmith engines list | show | prune`."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from app.cli.settings import load, store_root
from app.cli.show import verification_line
from app.device import read_device
from app.engines.engine import Engine, split_name
from app.engines.identity import in_words, platform_of
from app.engines.plan import export_plan
from app.engines.store import EngineStore
from app.engines.upkeep import Entry, Removal
from app.errors import BackendUnavailable, EngineNotFound, StoreError
from app.runtime.choose import backend_versions
from app.text import printable


def list_command(args: argparse.Namespace) -> int:
    store = _store(args)
    rows = [_row(entry) for entry in store.engines()]
    if args.json:
        for row in rows:
            print(json.dumps(row))
    elif not rows:
        print(f"No engine has been built yet in {store.root}. Build one: jetsmith convert")
    else:
        _print_table(rows)
    return 0


def show_command(args: argparse.Namespace) -> int:
    store = _store(args)
    entry = _find(store, args.name)
    if entry.engine is None:
        raise StoreError(f"{entry.path}: {entry.problem}", hint="Remove it: jetsmith engines prune")
    print(entry.engine.manifest.to_json(), end="")
    return 0


def export_command(args: argparse.Namespace) -> int:
    store = _store(args)
    entry = _find(store, args.name)
    if entry.engine is None:
        raise StoreError(f"{entry.path}: {entry.problem}", hint="Build it anew: jetsmith convert")
    size = export_plan(entry.engine, args.plan)
    print(
        f"{args.plan}: the bare plan of {entry.path.name}, {size / 1e6:.1f} MB. It runs on this kind of device alone."
    )
    return 0


def prune_command(args: argparse.Namespace) -> int:
    store = _store(args)
    plan = store.plan_prune()
    if not plan:
        print("Nothing to remove: an alias points to every engine.")
        return 0
    for removal in plan:
        print(printable(f"{removal.size / 1e6:8.1f} MB  {_named(removal)}  ({removal.why})"))
    if not args.yes and not _agreed(len(plan)):
        print("Nothing was removed.")
        return 0
    removed = store.prune(plan)
    print(f"Removed {len(removed)}, {sum(removal.size for removal in removed) / 1e6:.1f} MB.")
    return 0


def _store(args: argparse.Namespace) -> EngineStore:
    return EngineStore(store_root(load(args, {})))


def _named(removal: Removal) -> str:
    return ", ".join(path.name for path in removal.paths)


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        raise StoreError("prune asks before it removes, and nobody is there to answer", hint="Take --yes.")
    return input(f"Remove {count}? [y/N] ").strip().lower() in {"y", "yes"}


def _find(store: EngineStore, name: str) -> Entry:
    """By alias, by file name, or by the beginning of the key."""
    entries = store.engines()
    found = [entry for entry in entries if name in _names(entry)] or [
        entry for entry in entries if entry.engine and entry.engine.identity.key.startswith(name)
    ]
    if len(found) == 1:
        return found[0]
    message = f"{len(found)} engines begin with {name!r}" if found else f"There is no engine {name!r} in {store.root}"
    known = ", ".join(entry.path.name for entry in found or entries)
    raise EngineNotFound(message, hint=f"There are: {known}" if known else "Build one: jetsmith convert")


def _names(entry: Entry) -> set[str]:
    paths = (entry.path, *entry.aliases)
    return {text for path in paths for text in (str(path), path.name, split_name(path.name)[0])}


def _row(entry: Entry) -> dict[str, object]:
    row: dict[str, object] = {
        "file": str(entry.path),
        "size": entry.size,
        "aliases": [str(alias) for alias in entry.aliases],
        "state": _state(entry),
    }
    if entry.engine is not None:
        manifest, metadata = entry.engine.manifest, entry.engine.metadata
        row |= {
            "weights": manifest.weights.name,
            "task": metadata.task.value,
            "backend": entry.engine.backend.value,
            "precision": manifest.actual.value,
            "input_size": list(metadata.imgsz),
            "batch": metadata.batch,
            "created": manifest.created,
            "verified": verification_line(manifest.verification, manifest.actual),
        }
    return row


def _state(entry: Entry) -> str:
    """ "fits" this device, or why not."""
    if entry.engine is None:
        return f"damaged: {entry.problem}"
    return _fit(entry.engine)


def _fit(engine: Engine) -> str:
    try:
        here = platform_of(read_device(), engine.backend, backend_versions(engine.backend))
    except BackendUnavailable as error:
        return f"cannot run here: {error.message}"
    changes = engine.unlike(here)
    return f"stale: {in_words(changes)}" if changes else "fits this device"


def _print_table(rows: Sequence[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("alias", "task", "backend", "precision", "input", "batch", "MB", "built", "state"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        size = row.get("input_size")
        aliases = row["aliases"]
        assert isinstance(aliases, list)  # noqa: S101 (made so in _row)
        cells = (
            ", ".join(Path(alias).name for alias in aliases) or Path(str(row["file"])).name,
            *(str(row.get(name, "")) for name in ("task", "backend", "precision")),
            "×".join(map(str, size)) if isinstance(size, list) else "",
            str(row.get("batch", "")),
            f"{float(str(row['size'])) / 1e6:.1f}",
            str(row.get("created", ""))[:16],
            str(row["state"]),
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))  # others' words may look like markup
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 200)
    with console.capture() as capture:  # rich ends the process itself when the reader has gone
        console.print(table)
    print(capture.get(), end="")
