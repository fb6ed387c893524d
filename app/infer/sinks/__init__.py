"""Where results go: for programs, for people, and as pictures."""

from app.infer.sinks.base import Sink
from app.infer.sinks.json_lines import JsonLines
from app.infer.sinks.table import Table

__all__ = ["JsonLines", "Sink", "Table"]
