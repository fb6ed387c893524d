"""
The `JETSMITH_…` variables, read by pydantic-settings.

On its own because pydantic-settings imports asyncio, its command-line source and more (70 to 100 ms on a small
machine): a process without such variables does not pay for it.
"""

from typing import Any

from pydantic import create_model
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config._reference import ENV_DELIMITER, ENV_PREFIX, leaves


class _Environment(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (env_settings,)


def read_environment() -> dict[str, str]:
    """The text of each setting that a variable sets, by dotted key; empty variables count as not set."""
    fields: dict[str, Any] = {key.replace(".", ENV_DELIMITER): (str | None, None) for key in leaves()}
    reader = create_model("Environment", __base__=_Environment, **fields)
    texts = reader().model_dump(exclude_none=True)
    return {name.replace(ENV_DELIMITER, "."): text for name, text in texts.items()}
