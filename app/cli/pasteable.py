"""
A hint's command works when it is pasted.

Deep inside nobody knows by which options the user named the model, so hints there say `jetsmith convert` alone: here
the options are put in.
"""

import argparse
import re
import shlex
from pathlib import Path

_COMMAND = re.compile(r"jetsmith convert(?! --config)(?P<model> --model [^\s`,;]+)?")


def pasteable(hint: str, args: argparse.Namespace | None) -> str:
    """`hint` with the model and the settings file of this very command in each `jetsmith convert`."""
    if args is None or "jetsmith convert" not in hint:
        return hint
    config, model = shlex.join(_config(args)), shlex.join(_model(args))

    def command(found: re.Match[str]) -> str:
        return " ".join(filter(None, ["jetsmith convert", config, model or (found["model"] or "").strip()]))

    return _COMMAND.sub(command, hint)


def _config(args: argparse.Namespace) -> list[str]:
    config = getattr(args, "config", None)
    return ["--config", str(config)] if config else []


def _model(args: argparse.Namespace) -> list[str]:
    """As `convert` takes it: a name, or weights. `infer` takes engines and their stems too."""
    from app.catalog import parse_model_name
    from app.engines.engine import split_name
    from app.errors import UnknownModel
    from config.settings import PROJECT_ROOT

    model = getattr(args, "model", None)
    if not model or model.lower().endswith(".pt"):
        return ["--model", model] if model else []
    stem = split_name(Path(model).name)[0]
    try:
        return ["--model", str(parse_model_name(stem))]
    except UnknownModel:
        own = PROJECT_ROOT / "models" / f"{stem}.pt"
        return ["--model", str(own)] if own.is_file() else ["--model", f"{stem}.pt"]
