"""Find the weights: the file that is there, the one that ships with a demo model, or a download."""

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

from app.catalog import ModelName, require_official
from app.convert.checkpoint import is_whole, require_checkpoint, sha256_of
from app.convert.connection import Patience, file_address
from app.convert.download import download
from app.convert.ledger import Ledger, Record
from app.convert.partial import PartialFile, disk_errors_as_ours
from app.errors import DigestMismatch, DownloadFailed, WeightsError
from app.progress import Reporter
from app.text import masked

_PINNED = Path(__file__).with_name("official_weights.json")


@dataclass(frozen=True)
class WeightsRequest:
    path: Path  # where the file is, or is to be
    model: ModelName | None  # what to download if it is not there
    url: str  # the folder to download from; may carry a user, a password, a token
    ledger: Path
    force_download: bool = False
    bundled: Path | None = None  # the file that ships with a demo model


@dataclass(frozen=True)
class Weights:
    path: Path
    sha256: str
    origin: str  # "local" | "downloaded" | "bundled"


def resolve_weights(request: WeightsRequest, reporter: Reporter, patience: Patience | None = None) -> Weights:
    """
    Return the weights to convert, downloading them if need be; four callers at once download once.

    Raises:
        WeightsError: no file and nothing to download; a file that is no checkpoint; a disk that is full;
            `force_download` on a file that was not downloaded.
        DownloadFailed: the download failed; says what was tried and where to put the file by hand.
        DigestMismatch: the download is not the file that is pinned or was seen before.
        UnknownModel: there are no official weights of that name.
    """
    path = request.path
    if path.is_symlink() and not path.exists():
        raise WeightsError(
            f"{path} is a link to {path.readlink()}, which is not there",
            hint="Mend or remove the link, or set pt_model_path to another file.",
        )
    if request.bundled is not None and not path.exists():
        return _bundled(request.bundled)
    if path.exists() and (request.bundled is not None or not request.force_download):
        return _local(request)
    return _downloaded(request, reporter, patience or Patience())


def _bundled(path: Path) -> Weights:
    if not path.exists():
        raise WeightsError(
            f"{path}, which ships with jetsmith, is not there",
            hint="If JETSMITH_MODELS names another folder: cp -r models/demo there. Else restore the file with "
            "`git checkout models/demo`, or install anew.",
        )
    require_checkpoint(path)
    return Weights(path, sha256_of(path), "bundled")


def _local(request: WeightsRequest) -> Weights:
    require_checkpoint(request.path)
    digest = sha256_of(request.path)
    ours = Ledger(request.ledger).put_here(request.path, digest)
    return Weights(request.path, digest, "downloaded" if ours else "local")


def _downloaded(request: WeightsRequest, reporter: Reporter, patience: Patience) -> Weights:
    if request.model is None or request.model.is_demo:  # demo weights are published nowhere
        raise WeightsError(
            f"There is no weights file at {request.path}",
            hint="Put your .pt file there, or set base_model to the name of a model to download.",
        )
    require_official(request.model)
    ledger, before = Ledger(request.ledger), _stamp(request.path)
    with ledger.lock(reporter):
        if _stamp(request.path) not in (None, before):
            return _local(request)  # another process downloaded it while this one waited
        if request.path.exists():
            _require_ours(request.path, ledger)
        return _fetch(request, request.model.weights_file, ledger, reporter, patience)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    if not path.exists():
        return None
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size


def _require_ours(path: Path, ledger: Ledger) -> None:
    if not path.is_symlink() and path.is_file() and ledger.put_here(path, sha256_of(path)):
        return
    raise WeightsError(
        f"{path} was not downloaded by jetsmith, or was changed since: --force-download does not overwrite it",
        hint="Move it away, or set pt_model_path to another file, or leave out --force-download to use it.",
    )


def _fetch(request: WeightsRequest, name: str, ledger: Ledger, reporter: Reporter, patience: Patience) -> Weights:
    url = file_address(request.url, name)
    part = PartialFile(request.path, url)
    with disk_errors_as_ours(request.path):
        request.path.parent.mkdir(parents=True, exist_ok=True)
        if request.force_download:
            part.discard()
    digest = _checked_download(url, part, name, ledger, reporter, patience)
    record = Record(digest, part.size, masked(url), _now(), ())
    ledger.add(name, record, request.path)  # first: a crash in between leaves a part that is finished next time
    part.publish()
    return Weights(request.path, digest, "downloaded")


def _checked_download(
    url: str, part: PartialFile, name: str, ledger: Ledger, reporter: Reporter, patience: Patience
) -> str:
    """Download and check; what was put together from several connections gets one try in a single piece."""
    try:
        resumed = download(url, part, reporter, patience)
        try:
            return _check(part, name, ledger)
        except WeightsError:
            if not resumed:
                raise
            reporter.note(f"{name}: the pieces do not make a whole file; downloading it in one piece")
            download(url, part, reporter, patience)
            return _check(part, name, ledger)
    except DownloadFailed as error:
        raise DownloadFailed(error.message, hint=_by_hand(error.hint, part.target)) from error


def _by_hand(hint: str, target: Path) -> str:
    advice = (
        f"With no network, fetch the file elsewhere and put it at {target}, or name a mirror in "
        "vision.yolo.model_source.weights_url."
    )
    return f"{hint} {advice}".strip()


def _check(part: PartialFile, name: str, ledger: Ledger) -> str:
    """Digest of the finished part; one that is wrong is deleted."""
    with disk_errors_as_ours(part.path):
        whole, digest = is_whole(part.path), sha256_of(part.path)
    error = _what_is_wrong(whole, digest, part, name, ledger)
    if error is not None:
        part.discard()
        raise error
    return digest


def _what_is_wrong(whole: bool, digest: str, part: PartialFile, name: str, ledger: Ledger) -> WeightsError | None:
    if not whole:
        return DownloadFailed(f"The download of {name} is truncated or is no PyTorch checkpoint")
    pinned, known = _pinned().get(name), ledger.read().get(name)
    if pinned is not None:
        return None if digest in pinned else _not_pinned(digest, name, part.target)
    if known is not None and known.sha256 != digest:
        return DigestMismatch(
            f"{name} is another file than on {known.date}: SHA-256 {digest}, then {known.sha256}. It was deleted",
            hint=f'If you know the change to be right, delete the entry "{name}" from {ledger.path} '
            f"and move {part.target} away if it is there, then run the command again.",
        )
    return None


def _not_pinned(digest: str, name: str, target: Path) -> DigestMismatch:
    return DigestMismatch(
        f"The download of {name} has the SHA-256 {digest}, which is not that of the official file. It was deleted",
        hint="Check vision.yolo.model_source.weights_url and any proxy on the way. If this is the file you want, "
        f"fetch it yourself and put it at {target}: a file that is there is used as it is.",
    )


@cache
def _pinned() -> dict[str, list[str]]:
    """Digests of official files by name; one name has several where Ultralytics released it anew."""
    content: dict[str, list[str]] = json.loads(_PINNED.read_text(encoding="utf-8"))
    return content


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
