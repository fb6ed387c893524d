"""The presets of machines, config/*.env, and the variables that docker-compose.yml takes."""

import re
from functools import lru_cache
from types import MappingProxyType

from dotenv import dotenv_values

from config._fields import PROJECT_ROOT

FAMILY = "JETSMITH_FAMILY"
CHOSEN_PER_DEVICE = MappingProxyType(  # variable -> why it is not for `env`
    {
        "JETSMITH_TAG": "the key tag sets it",
        "JETSMITH_REGISTRY": "the key registry sets it",
        "JETSMITH_CONFIG": "the key config sets it",
        FAMILY: "the key preset sets it",
        "JETSMITH_MODELS": "in a fleet the models lie in a volume of the device",
    }
)
_DEFAULTS = MappingProxyType({FAMILY: "jetpack6", "JETSMITH_TAG": "jetpack6"})  # those of docker-compose.yml


@lru_cache(maxsize=1)
def presets() -> list[str]:
    return sorted(path.stem for path in (PROJECT_ROOT / "config").glob("*.env"))


@lru_cache(maxsize=16)
def read_preset(name: str) -> MappingProxyType[str, str]:
    found = dotenv_values(PROJECT_ROOT / "config" / f"{name}.env", interpolate=False, encoding="utf-8")
    return MappingProxyType({**_DEFAULTS, **{key: value for key, value in found.items() if value is not None}})


@lru_cache(maxsize=1)
def variables() -> frozenset[str]:
    """Every variable that docker-compose.yml reads."""
    text = (PROJECT_ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    return frozenset(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", text))
