"""`jetsmith config`: every setting, its value and its variable."""

import argparse
from typing import Any

from app.cli.settings import load
from app.text import masked_value, printable
from config.settings import Settings, settings_reference


def config_command(args: argparse.Namespace) -> int:
    settings = load(args, {})
    for row in settings_reference():
        print(f"{row.key}: {_text(_value(settings, row.key))}")
        print(f"    {row.meaning} Allowed: {row.allowed}.")
        print(f"    {row.environment}, default: {row.default}")
    return 0


def _value(settings: Settings, key: str) -> Any:
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _text(value: Any) -> str:
    return printable(masked_value(str(getattr(value, "value", value))))
