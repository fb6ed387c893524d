"""The fleet as a table of rich's, live or once; who calls prints it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from app.fleet.plan import Plan
from app.fleet.report import plan_rows, shown
from app.fleet.status import HEADS, DeviceStatus, row

if TYPE_CHECKING:
    from rich.table import Table

_COLOURS = {"failed": "red", "skipped": "yellow", "done": "green", "unchanged": "green"}


def plan_table(plans: Sequence[tuple[str, Plan]]) -> "Table":
    table = _table("device", "step", "reason")
    last = ""
    for name, step, reason in plan_rows(plans):
        table.add_row(*_cells("" if name == last else name, step, reason))
        last = name
    return table


def status_table(statuses: Iterable[DeviceStatus], now: datetime) -> "Table":
    table = _table(*HEADS)
    for status in statuses:
        style = None if status.is_good else "yellow" if status.seen.is_reachable else "red"
        table.add_row(*_cells(*row(status, now)), style=style)
    return table


def progress_table(rows: Iterable[tuple[str, str, float | None, str]]) -> "Table":
    """Device, step or state, percent of it, last message."""
    table = _table("device", "step", "%", "")
    for name, step, percent, message in rows:
        amount = "" if percent is None else f"{percent:.0f}"
        table.add_row(*_cells(name, step, amount, message), style=_COLOURS.get(step))
    return table


def _table(*heads: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, expand=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    return table


def _cells(*texts: str) -> list[str]:
    from rich.markup import escape

    return [escape(shown(text)) for text in texts]
