"""The converter of one device, begun or followed; and the proof that the new infer's image can run what it built."""

import time
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from app.errors import FleetError
from app.fleet.base import LABEL_WORK, EngineFacts, Role, Slot, Target
from app.fleet.docker_host.connection import Connection
from app.fleet.docker_host.containers import Containers, Found, is_of_this_run
from app.fleet.docker_host.verdict import read_verdict
from app.fleet.docker_host.volume_files import read_small_file
from app.fleet.host import Watch
from app.fleet.service import ENGINE_VARIABLE, MODELS_FOLDER
from app.status import FOLDER, MAX_BYTES, State, Status, parse_status
from app.text import masked, printable

_POLL_S = 1.0
_HUNG_S = 300.0  # without a new heartbeat; a build may starve the thread that gives it, but not for so long
_VERDICT_LINES = 20
_OVER = ("exited", "dead")
_CHECK = ["jetsmith", "engines", "check", "--json", "--sha256"]
_LIKE_INFER = (
    *("user", "runtime", "group_add", "read_only", "cap_drop", "security_opt", "init", "tmpfs", "log_config"),
    *("environment", "labels", "working_dir", "stop_signal"),
)


class Conversion:
    """
    Args:
        look: for the engine that the last conversion left.
    """

    def __init__(self, connection: Connection, look: Callable[[Target, Watch], EngineFacts | None]) -> None:
        self._connection, self._look = connection, look
        self._containers = Containers(connection)

    def under_way(self, target: Target, watch: Watch) -> Found | None:
        found = self._containers.find(Slot.CONVERTER, watch)
        is_it = found is not None and found.container.is_running and found.container.label(LABEL_WORK) == target.work
        return found if is_it else None

    def convert(self, target: Target, watch: Watch) -> None:
        found = self.under_way(target, watch)
        if found is None:
            self._containers.remove(Slot.CONVERTER, watch)
            image, labels = target.images[Role.CONVERTER].on_device, {LABEL_WORK: target.work}
            arguments = target.specs[Role.CONVERTER].arguments
            found = self._containers.create(Slot.CONVERTER, arguments, image, labels, watch)
            self._containers.start(found, watch)
        ended = self._followed(found.id, watch)
        if not ended.container.is_success:
            raise self._failed(ended, watch)

    def verify(self, target: Target, watch: Watch) -> None:
        engine = self._look(target, watch)
        if engine is None:
            raise FleetError("the conversion left no engine", hint="Apply again: it is built anew.")
        proof = target.proof(engine.sha256)
        self._containers.remove(Slot.VERIFIER, watch)
        image, labels = target.images[Role.INFER].on_device, {LABEL_WORK: proof}
        found = self._containers.create(Slot.VERIFIER, _checking(target, engine), image, labels, watch)
        self._containers.start(found, watch)
        watch.update("the engine is loaded and tried")
        ended = self._wait(found.id, Slot.VERIFIER, watch, lambda _: None)
        if not ended.container.is_success:
            said = self._containers.last_words(ended, watch)
            raise FleetError(
                f"the new infer's image cannot run the engine: {said or f'exit {ended.container.exit_code}'}",
                hint="Are both images of the same tag? Is memory short? Then apply with --stop-infer.",
            )
        verdict = read_verdict(self._containers.logs(ended, _VERDICT_LINES, watch))
        watch.update(f"the engine ran in {verdict.milliseconds:.0f} ms" if verdict else "the engine ran", 100)

    # --- how far it is ---

    def _followed(self, container: str, watch: Watch) -> Found:
        pulse = _Pulse()

        def tell(found: Found) -> None:
            status = self._status(found, watch)
            pulse.feel(status)
            if status is not None:
                watch.update(*_words(status))

        return self._wait(container, Slot.CONVERTER, watch, tell)

    def _wait(self, container: str, slot: Slot, watch: Watch, tell: Callable[[Found], None]) -> Found:
        while True:
            found = self._containers.find(slot, watch)
            if found is None or found.id != container:
                raise FleetError(f"{slot.value} was replaced", hint="Does somebody else work on the device?")
            if found.container.state in _OVER:
                return found
            tell(found)
            time.sleep(min(_POLL_S, watch.remaining_s()))

    def _status(self, found: Found, watch: Watch) -> Status | None:
        """What this run of the converter says; None: nothing yet."""
        job = PurePosixPath(found.environment.get(ENGINE_VARIABLE, "")).name.removesuffix(".engine")
        if not job:
            return None
        path = f"{MODELS_FOLDER}/{FOLDER}/{job}.json"
        data = read_small_file(self._connection, found.id, path, MAX_BYTES, watch)
        status = parse_status(data, job) if data is not None else None
        return status if status and is_of_this_run(status.started, found) else None

    def _failed(self, ended: Found, watch: Watch) -> FleetError:
        status, code = self._status(ended, watch), ended.container.exit_code
        if ended.is_out_of_memory or code == 137:
            return FleetError(
                "the conversion was killed: the device ran out of memory",
                hint="Close what runs beside it, add swap, or apply with --stop-infer.",
            )
        if status is not None and status.state is State.FAILED:
            return FleetError(f"the conversion failed: {_shown(status.message)}", hint=_shown(status.hint))
        said = self._containers.last_words(ended, watch)
        return FleetError(
            f"the conversion ended with {code}: {said or 'it said nothing'}",
            hint="Mend what it names, then apply again.",
        )


class _Pulse:
    """By the clock here: the device's may be set while it works."""

    def __init__(self) -> None:
        self._last, self._felt = "", time.monotonic()

    def feel(self, status: Status | None) -> None:
        """
        Raises:
            FleetError: it has been standing still for too long.
        """
        beat = status.heartbeat if status else ""
        now = time.monotonic()
        if beat != self._last:
            self._last, self._felt = beat, now
        elif status is not None and now - self._felt > _HUNG_S:
            raise FleetError(
                f"the conversion hangs at «{_shown(status.phase)}»: no sign of life for {_HUNG_S:.0f} s",
                hint="Is the device's storage well (dmesg)? docker rm --force jetsmith-converter, then apply again.",
            )


def _words(status: Status) -> tuple[str, float | None]:
    return _shown(f"{status.phase}: {status.message}" if status.message else status.phase), status.percent


def _shown(text: str) -> str:
    return masked(printable(text[:500]))


def _checking(target: Target, engine: EngineFacts) -> Mapping[str, Any]:
    """As the infer, but with no camera, no network and no second life."""
    infer = target.specs[Role.INFER].arguments
    like = {name: infer[name] for name in _LIKE_INFER if name in infer}
    once = {"entrypoint": _CHECK, "command": [engine.sha256], "network_mode": "none", "healthcheck": {"test": ["NONE"]}}
    return {**like, **once, "mounts": infer["mounts"]}
