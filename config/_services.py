"""What a settings file must say to be the service of a fleet's device."""

from collections.abc import Iterator
from pathlib import Path

from app.errors import SettingsError
from app.text import masked_value
from config._fields import PROJECT_ROOT
from config.schema import Settings
from config.settings import load_settings

MODELS = PROJECT_ROOT / "models"
OUTPUT = Path("/output")
_ELSEWHERE = ("camera:", "csi:", "rtsp:", "rtsps:", "http:", "https:")


def device_settings(config: Path) -> Settings:
    """As a device will read them: without this machine's environment."""
    return load_settings(config, environment=False)


def wrong_for_a_device(config: str) -> str:
    """What has to be mended, in one message; empty where nothing has to be."""
    try:
        settings = device_settings(PROJECT_ROOT / config)
    except SettingsError as error:
        return f"the settings in {config} are wrong: " + error.message.replace("\n", "\n  ")
    problems = list(_problems(settings))
    return f"{config}: " + "; ".join(problems) if problems else ""


def _problems(settings: Settings) -> Iterator[str]:
    source, images = settings.vision.yolo.model_source, settings.vision.yolo.calibration.images
    if settings.models_dir != MODELS:
        yield "models_dir is for a machine of your own; on a device it is always models"
    if source.base_model is None and not source.pt_model_path.is_file():
        yield f"the weights {_shown(source.pt_model_path)} are not on this machine"
    if images is not None and not Path(images).is_relative_to(MODELS / "demo"):
        yield "calibration.images: pictures are not sent to devices; leave it out"
    yield from _of_sources(settings)
    yield from _of_sinks(settings)


def _of_sources(settings: Settings) -> Iterator[str]:
    if not settings.infer.sources:
        yield "infer.sources is missing: a device of a fleet watches them for ever, for example [camera:0]"
    for source in settings.infer.sources:
        is_there = source.lower().startswith(_ELSEWHERE) or any(
            map(Path(source).is_relative_to, (MODELS / "demo", OUTPUT))
        )
        if not is_there:
            name = masked_value(_shown(Path(source)))
            yield f"infer.sources: {name} is a file of this machine; allowed: cameras and addresses"


def _of_sinks(settings: Settings) -> Iterator[str]:
    sinks = settings.infer.sinks
    places = {"jsonl": sinks.jsonl, "save": sinks.save, "crops": sinks.crops}
    if not any(places.values()):
        yield 'infer.sinks names none: set infer.sinks.jsonl to /output/found.jsonl, or to "-" for the log'
    for name, place in places.items():
        if isinstance(place, Path) and not place.is_relative_to(OUTPUT):
            yield f"infer.sinks.{name} is {_shown(place)}; on a device results go below /output"
    if sinks.rotate_mb > sinks.keep_mb / 2:
        yield "infer.sinks.keep_mb must be at least twice rotate_mb"


def _shown(path: Path) -> str:
    return str(path.relative_to(PROJECT_ROOT) if path.is_relative_to(PROJECT_ROOT) else path)
