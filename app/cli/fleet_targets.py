"""The inventory's devices as targets: presets, settings and weights of this checkout, digests of images."""

from collections.abc import Callable, Mapping
from pathlib import Path

from app.engines.engine import split_name
from app.errors import JetsmithError
from app.fleet.base import Device, File, Image, Target
from app.fleet.target import Wanted, file_for_device, image_names, target_of
from config._presets import FAMILY, read_preset
from config._services import device_settings
from config.settings import PROJECT_ROOT

Resolve = Callable[[str, bool], Image]
"""The image of a name; the second says whether devices pull it from a registry."""


class Targets:
    """What is read or asked for one device serves the others; a failure, too."""

    def __init__(self, fleet: str, resolve: Resolve) -> None:
        self._fleet, self._resolve = fleet, resolve
        self._compose = (PROJECT_ROOT / "docker-compose.yml").read_text(encoding="utf-8")
        self._files: dict[Path, File] = {}
        self._images: dict[tuple[str, bool], Image | JetsmithError] = {}

    def of(self, device: Device) -> Target:
        """
        Raises:
            JetsmithError: an image or a file that the device shall get is not to be had.
        """
        variables = variables_of(device)
        wanted = self._wanted(device, variables)
        names = image_names(self._compose, variables)
        images = {role: self._image(name, bool(device.registry)) for role, name in names.items()}
        return target_of(device, wanted, images, self._compose, fleet=self._fleet)

    def _wanted(self, device: Device, variables: Mapping[str, str]) -> Wanted:
        settings = device_settings(device.config)
        yolo = settings.vision.yolo
        weights, stem = yolo.model_source.pt_model_path, split_name(Path(yolo.model_path).name)[0]
        return Wanted(
            variables=variables,
            family=variables[FAMILY],
            settings=self._file(device.config),
            weights=self._file(weights) if weights.is_file() else None,
            base_model=yolo.model_source.base_model or "",
            engine=stem,
            input_size=yolo.input_size,
            service=settings.infer.name or stem,
        )

    def _file(self, path: Path) -> File:
        if path not in self._files:
            self._files[path] = file_for_device(path)
        return self._files[path]

    def _image(self, name: str, is_pulled: bool) -> Image:
        key = name, is_pulled
        if key not in self._images:
            try:
                self._images[key] = self._resolve(name, is_pulled)
            except JetsmithError as error:
                self._images[key] = error
        found = self._images[key]
        if isinstance(found, JetsmithError):
            raise found
        return found


def variables_of(device: Device) -> dict[str, str]:
    """Of docker-compose.yml: the preset's, over them the device's own."""
    own = {"JETSMITH_TAG": device.tag, "JETSMITH_REGISTRY": device.registry}
    return {**read_preset(device.preset), **device.env, **own}
