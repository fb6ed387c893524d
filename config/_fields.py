"""What every section of the schema is made of."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

PROJECT_ROOT = Path(__file__).resolve().parents[1]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, protected_namespaces=())


def setting(default: Any, meaning: str, allowed: str, shown: str | None = None, **limits: Any) -> Any:
    """`shown` describes a default that depends on other settings."""
    extra: dict[str, Any] = {"allowed": allowed, **({} if shown is None else {"shown": shown})}
    return Field(default, description=meaning, json_schema_extra=extra, **limits)


def absolute(value: Any) -> Path:
    """Relative paths start at the project root, `~` is the home directory."""
    if not isinstance(value, str | Path):
        raise ValueError
    text = str(value)
    if not text.strip() or not text.isprintable():
        raise ValueError("a path is not empty, and holds no control characters")
    try:
        return PROJECT_ROOT / Path(text).expanduser()
    except RuntimeError as error:  # `~name` of a user whom this machine does not know
        raise ValueError(str(error)) from error
