"""Images onto a device: pulled by digest, or sent from the operator's own Docker, which may be another device's."""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from threading import Event
from typing import Any

import docker.utils
from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.errors import APIError, DockerException, NotFound

from app.errors import FleetError
from app.fleet.base import Image
from app.fleet.docker_host.archive import common_layers
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.errors import not_docker
from app.fleet.docker_host.told import tables_in, text_in, texts_in, value_in
from app.fleet.docker_host.transfer import Transfer
from app.fleet.docker_host.waiting import Within, meanwhile
from app.fleet.host import Watch

_HERE = "unix:///var/run/docker.sock"
_NOT_FOUND, _IN_USE = 404, 409
OURS = re.compile(r"jetsmith-fleet/(?P<repository>[^:]+):(?P<hex>[0-9a-f]{64})")  # as `Image.on_device`
_OURS_BEGINS = "jetsmith-fleet/"
_RESOLVE_S = 60.0
_REMOVE_S = 900.0  # an SD card takes minutes for the layers of one
_MOST_IMAGES = 50  # of a device, that are looked at for layers
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # the kernel's word -> Docker's


def here() -> Connection:
    """The operator's own Docker, as `docker` itself finds it: DOCKER_HOST, DOCKER_CONTEXT, `docker context use`."""
    return Connection(str(docker.utils.kwargs_from_env().get("base_url") or _of_context() or _HERE))


def _of_context() -> str | None:
    """The address of the chosen context; None for the default one, whose word for it is the SDK's own."""
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    if name == "default":
        return None
    try:
        context = ContextAPI.get_context(name)
    except DockerException as error:
        raise FleetError(f"this machine's Docker context {name}: {error}", hint="Look at: docker context ls") from error
    if context is None or not context.Host:
        raise FleetError(f"this machine has no Docker context {name}", hint="Look at: docker context ls")
    return str(context.Host)


def resolve(name: str, *, is_pulled: bool) -> Image:
    """
    The image of a name, with its digest.

    Raises:
        FleetError: there is none on this machine, or in the registry.
    """
    connection = here()
    try:
        return Image(name, (_in_registry if is_pulled else _on_machine)(connection, name))
    except FleetError as error:
        raise FleetError(f"this machine's Docker: {error.message}", hint=error.hint) from error
    finally:
        connection.close()


def _on_machine(connection: Connection, name: str) -> str:
    hint = (
        "Build it (docker compose --env-file config/PRESET.env build), or name a registry in the fleet file, from "
        "which the devices pull it."
    )
    missing = FleetError(f"there is no image {name}", hint=hint)
    return _digest(_asked(connection, lambda api: api.inspect_image(name), missing).get("Id"))


def _in_registry(connection: Connection, name: str) -> str:
    hint = "Push it there, or correct registry and tag in the fleet file."
    missing = FleetError(f"the registry has no image {name}", hint=hint)
    told = _asked(connection, lambda api: api.inspect_distribution(name), missing)
    return _digest(value_in(told, "Descriptor", "digest"))


def _asked(connection: Connection, question: Callable[[Any], Any], missing: FleetError) -> Mapping[str, Any]:
    """
    Raises:
        FleetError: `missing`, where Docker knows no such image.
    """
    with connection.request(Within(_RESOLVE_S)) as client:
        try:
            told = question(_api(client))
        except NotFound as error:
            raise missing from error
    return told if isinstance(told, dict) else {}


def _api(client: Any) -> Any:
    """What the SDK's images can do has no types."""
    return client.api


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise not_docker("an image without a digest")
    return value


class Images:
    """
    Args:
        registry: of the device; empty: images are sent from this machine.
        wanted: names on the device that stay, used or not.
    """

    def __init__(self, connection: Connection, registry: str, wanted: Collection[str] = ()) -> None:
        self._connection, self._registry, self._wanted = connection, registry, wanted

    def load(self, image: Image, watch: Watch) -> None:
        """Have it there, under the name that containers are made with."""
        if self._inspect(image.on_device, watch) is not None:
            return
        there = self._find(image, watch)
        if there is None:
            self._make_room({image.on_device, *self._wanted}, watch)
            there = self._pulled(image, watch) if self._registry else self._sent(image, watch)
        self._name(there, image, watch)

    def _find(self, image: Image, watch: Watch) -> str | None:
        """By what else its digest may be called there."""
        for name in (image.digest, f"{_repository(image)}@{image.digest}"):
            told = self._inspect(name, watch)
            if told is not None:
                return name
        return None

    def _inspect(self, name: str, watch: Watch) -> Mapping[str, Any] | None:
        with self._connection.request(watch) as client:
            try:
                told = _api(client).inspect_image(name)
            except NotFound:
                return None
        if not isinstance(told, dict):
            raise not_docker("an image that is none")
        return told

    def _name(self, there: str, image: Image, watch: Watch) -> None:
        repository, _, tag = image.on_device.partition(":")
        with self._connection.request(watch) as client:
            client.api.tag(there, repository, tag)

    def _make_room(self, kept: Collection[str], watch: Watch) -> None:
        """Of older versions only what a container needs is left, or a few of them would fill a Jetson's disk."""
        listed: Any = self._connection.ask(watch, lambda client: client.api.images())
        names = [name for one in tables_in(listed) for name in _old(one, kept)]
        there, stopped = self._connection.twin(), Event()

        def work() -> None:
            for name in names:
                if not stopped.is_set():
                    _remove(there, name)

        def cancel() -> None:
            stopped.set()
            there.close()

        try:
            meanwhile(work, watch, tick=lambda: watch.update("images of older versions are removed"), cancel=cancel)
        finally:
            there.close()

    def _pulled(self, image: Image, watch: Watch) -> str:
        name = _repository(image)
        Transfer(self._connection.twin(), image.name).pull(name, image.digest, watch)
        return f"{name}@{image.digest}"

    def _sent(self, image: Image, watch: Watch) -> str:
        info: Any = self._connection.ask(watch, lambda client: client.api.info())
        local = here()
        try:
            here_info: Any = local.ask(watch, lambda client: client.api.info())
            told = _image_here(local, image)
            _require_architecture(image, told, info)
            shared = 0 if _has_containerd_store(info) else self._shared(told, watch)
            loaded = self._transferred(local, image, _size(told), shared, watch)
        finally:
            local.close()
        if self._inspect(image.digest, watch) is not None:
            return image.digest
        if not loaded or not (_has_containerd_store(info) or _has_containerd_store(here_info)):
            raise FleetError(
                f"{image.name} arrived as {loaded or 'nothing'}, and should be {image.digest}",
                hint="Run it again; if that does not help, look at the device's disk (dmesg) and the images here.",
            )
        return loaded

    def _shared(self, ours: Mapping[str, Any], watch: Watch) -> int:
        """How many of its layers the device has in other images."""
        listed: Any = self._connection.ask(watch, lambda client: client.api.images())
        names = texts_in(listed, "Id")
        found = [self._inspect(name, watch) for name in names[:_MOST_IMAGES]]
        return common_layers(_layers(ours), [_layers(told) for told in found if told is not None])

    def _transferred(self, local: Connection, image: Image, size: int, shared: int, watch: Watch) -> str:
        try:
            return Transfer(self._connection.twin(), image.name).send(local, image.digest, size, shared, watch)
        except FleetError as error:
            if not shared or "no such file" not in error.message:
                raise
            watch.update(f"{image.name}: the device takes it only with all its layers ({error.message})")
        return Transfer(self._connection.twin(), image.name).send(local, image.digest, size, 0, watch)


def _old(listed: Mapping[str, Any], kept: Collection[str]) -> Iterator[str]:
    """
    By what names an image is called that is not to be kept, as far as they are ours.

    A pull leaves `repository@digest` beside our tag, and the image with it. It goes first: of two names Docker takes
    one even while a container needs the image, the last one it does not.
    """
    tags = texts_in([listed], "RepoTags")
    for tag in tags:
        found = OURS.fullmatch(tag)
        if found is None or tag in kept:
            continue
        if all(OURS.fullmatch(one) for one in tags):
            pulled = (name for name in texts_in([listed], "RepoDigests") if name.endswith(f"@sha256:{found['hex']}"))
            yield from (name for name in pulled if not name.startswith(_OURS_BEGINS))
        yield tag


def _remove(there: Connection, name: str) -> None:
    with there.request(Within(_REMOVE_S), at_most_s=_REMOVE_S) as client:
        try:
            _api(client).remove_image(name)
        except APIError as error:
            if error.status_code not in (_NOT_FOUND, _IN_USE):
                raise


def _layers(told: Mapping[str, Any]) -> list[str]:
    """The digests of what is in an image's layers, from the first on."""
    layers = value_in(told, "RootFS", "Layers")
    return [str(layer) for layer in layers] if isinstance(layers, list) else []


def _image_here(local: Connection, image: Image) -> Mapping[str, Any]:
    with local.request(Within(_RESOLVE_S)) as client:
        told = _api(client).inspect_image(image.digest)
    return told if isinstance(told, dict) else {}


def _require_architecture(image: Image, told: Mapping[str, Any], info: Any) -> None:
    """Gigabytes that could never run there are not sent."""
    there = _ARCHITECTURES.get(text_in(info, "Architecture"))
    ours = told.get("Architecture")
    if there and ours in _ARCHITECTURES.values() and ours != there:
        raise FleetError(
            f"{image.name} is made for {ours}, and the device is {there}",
            hint=f"Build it for that (docker buildx build --platform linux/{there}), or on a device.",
        )


def _size(told: Mapping[str, Any]) -> int:
    size = told.get("Size")
    return size if isinstance(size, int) else 0


def _has_containerd_store(info: Any) -> bool:
    """There an image's id is that of its manifest, in the classic store that of its configuration."""
    return any("containerd.snapshotter" in str(row) for row in value_in(info, "DriverStatus") or ())


def _repository(image: Image) -> str:
    """Without the tag; a colon before a slash is a port's."""
    head, slash, last = image.name.partition("@")[0].rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
