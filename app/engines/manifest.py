"""
What is written beside each engine: what it is, how it came to be, and how well it did.

A manifest is read as if anyone could have written it: size-capped, strictly typed, its key recomputed, its file name
without a path.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from enum import Enum
from typing import Any, NoReturn

from app.engines.identity import Identity
from app.errors import EngineDamaged, EngineStale, ModelError
from app.metadata import ModelMetadata
from app.types import Backend, Precision

FORMAT = 2  # 1 had neither `board` nor `build`; it is read all the same
MAX_BYTES = 2**20

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_REBUILD = "Build the engine anew with `jetsmith convert`."


@dataclass(frozen=True)
class WeightsFacts:
    name: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class BuildRecord:
    """What the converter knows of an engine before it is published."""

    identity: Identity
    model: Mapping[str, Any]  # the Ultralytics header
    requested: Precision
    actual: Precision
    created: str  # UTC, ISO 8601
    versions: Mapping[str, str]
    seconds: Mapping[str, float]  # by phase
    verification: Mapping[str, Any]
    weights: WeightsFacts
    build: Mapping[str, Any] = field(default_factory=dict)  # what the builder was given, took, and made
    board: Mapping[str, str] = field(default_factory=dict)  # power mode and clocks at that time, where a Jetson tells


@dataclass(frozen=True, kw_only=True)
class Manifest(BuildRecord):
    engine: str  # the file's name, in the manifest's own folder
    size: int
    sha256: str
    format: int = FORMAT

    @classmethod
    def of(cls, record: BuildRecord, *, engine: str, size: int, sha256: str) -> "Manifest":
        known = {field.name: _readable(getattr(record, field.name)) for field in fields(BuildRecord)}
        return cls(**known, engine=engine, size=size, sha256=sha256)

    def to_json(self) -> str:
        """
        Raises:
            ValueError: a figure is not finite, or the text would be too large to be read back.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["key"] = self.identity.key
        values["identity"] = asdict(self.identity)
        values["weights"] = asdict(self.weights)
        values["requested"], values["actual"] = self.requested.value, self.actual.value
        text = json.dumps(values, indent=2, sort_keys=True, allow_nan=False) + "\n"
        if len(text) > MAX_BYTES:
            raise ValueError(f"A manifest of {len(text)} bytes: at most {MAX_BYTES} are read back")
        return text

    @classmethod
    def from_json(cls, data: bytes, where: str) -> "Manifest":
        """
        Read a manifest; `where` names the file in messages.

        Raises:
            EngineDamaged: it is no manifest, or was altered.
            EngineStale: a newer jetsmith wrote it.
        """
        values = _Values(_parse(data, where), where)
        if values.count("format") > FORMAT:
            raise EngineStale(
                f"{where} was written by a newer jetsmith (format {values.count('format')}, this one reads {FORMAT}).",
                hint=f"Update jetsmith, or build with this one: {_REBUILD}",
            )
        identity, weights = values.values("identity"), values.values("weights")
        manifest = cls(
            format=values.count("format"),
            identity=Identity(identity.texts("recipe"), identity.texts("platform"), identity.count("format")),
            engine=values.matching("engine", _FILE_NAME),
            size=values.count("size"),
            sha256=values.matching("sha256", _DIGEST),
            model=values.table("model"),
            requested=values.precision("requested"),
            actual=values.precision("actual"),
            created=values.moment("created"),
            versions=values.texts("versions"),
            seconds=values.numbers("seconds"),
            verification=values.table("verification"),
            weights=WeightsFacts(weights.text("name"), weights.matching("sha256", _DIGEST), weights.count("size")),
            build=values.table("build") if "build" in values else {},
            board=values.texts("board") if "board" in values else {},  # the first manifests have none
        )
        if values.matching("key", _DIGEST) != manifest.identity.key:
            damaged(where, "its key does not belong to its identity")
        if identity.texts("platform").get("backend") not in {backend.value for backend in Backend}:
            damaged(where, "it names no backend that jetsmith knows")
        _refuse_garbage(manifest.model, where)
        for part in (values, identity, weights):
            part.refuse_others()
        return manifest


def _refuse_garbage(model: Mapping[str, Any], where: str) -> None:
    try:
        ModelMetadata.from_header(model)
    except ModelError as error:
        raise EngineDamaged(f"{where} cannot be used: {error.message}", hint=_REBUILD) from error


def damaged(where: str, why: str) -> NoReturn:
    raise EngineDamaged(f"{where} cannot be used: {why}.", hint=_REBUILD)


def _readable(value: Any) -> Any:
    """Class names come from others: half a character, which is no text, is spelled out, for `from_json` refuses it."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, WeightsFacts):
        return replace(value, name=_readable(value.name))
    if isinstance(value, Mapping):
        return {_readable(key): _readable(item) for key, item in value.items()}
    return [_readable(item) for item in value] if isinstance(value, list | tuple) else value


def _parse(data: bytes, where: str) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        damaged(where, f"it has {len(data)} bytes, and a manifest at most {MAX_BYTES}")
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_without_duplicates,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # "\\ud800" is JSON, but no text that can be shown
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise EngineDamaged(f"{where} cannot be used: it is no manifest ({reason}).", hint=_REBUILD) from error
    if not isinstance(value, dict):
        damaged(where, "it is no manifest: it must be one JSON object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key stands there twice")
    return table


def _is_moment(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


class _Values:
    """One table of a manifest, read key by key, each with its type; what is left over is refused."""

    def __init__(self, table: Mapping[str, Any], where: str) -> None:
        self._table = table
        self._where = where
        self._read: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def _get(self, key: str, expected: str, accepts: Callable[[Any], bool]) -> Any:
        self._read.add(key)
        if key not in self._table:
            damaged(self._where, f"`{key}` is missing")
        if not accepts(self._table[key]):
            damaged(self._where, f"`{key}` must be {expected}")
        return self._table[key]

    def text(self, key: str) -> str:
        return str(self._get(key, "text", lambda value: isinstance(value, str)))

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        def accepts(value: Any) -> bool:
            return isinstance(value, str) and pattern.fullmatch(value) is not None

        return str(self._get(key, f"of the form {pattern.pattern}", accepts))

    def moment(self, key: str) -> str:
        return str(self._get(key, "a time with its zone, in ISO 8601", _is_moment))

    def count(self, key: str) -> int:
        return int(self._get(key, "a whole number from 0", lambda value: type(value) is int and value >= 0))

    def precision(self, key: str) -> Precision:
        known = [precision.value for precision in Precision]
        return Precision(self._get(key, " or ".join(known), lambda value: value in known))

    def table(self, key: str) -> dict[str, Any]:
        return dict(self._get(key, "a table", lambda value: isinstance(value, dict)))

    def values(self, key: str) -> "_Values":
        return _Values(self.table(key), f"{self._where}, {key}")

    def texts(self, key: str) -> dict[str, str]:
        table = self.table(key)
        if not all(isinstance(value, str) for value in table.values()):
            damaged(self._where, f"`{key}` must hold text only")
        return table

    def numbers(self, key: str) -> dict[str, float]:
        table = self.table(key)
        if not all(type(value) in (int, float) for value in table.values()):
            damaged(self._where, f"`{key}` must hold numbers only")
        return table

    def refuse_others(self) -> None:
        unknown = sorted(set(self._table) - self._read)
        if unknown:
            damaged(self._where, f"it holds the unknown key {unknown[0]!r}")
