"""What a `.pt` file shows from outside, before anything in it is read as code."""

import hashlib
import stat
import zipfile
from pathlib import Path

from app.errors import WeightsError

_ZIP_MAGIC = b"PK\x03\x04"  # torch.save since 1.6
_PICKLE_MAGIC = b"\x80\x02"  # torch.save before
_CHUNK_BYTES = 1 << 20


def starts_like_a_checkpoint(head: bytes) -> bool:
    """Whether the first bytes are those of a zip archive or of a pickle, the two forms `torch.save` writes."""
    return head.startswith((_ZIP_MAGIC, _PICKLE_MAGIC))


def is_whole(path: Path) -> bool:
    """Whether an archive has its end: a zip keeps its table of contents there, so a truncated one has none."""
    with path.open("rb") as file:
        head = file.read(4)
    return starts_like_a_checkpoint(head) and (head != _ZIP_MAGIC or zipfile.is_zipfile(path))


def require_checkpoint(path: Path) -> None:
    """
    Look at a weights file that someone put there.

    Raises:
        WeightsError: it is no regular file, is empty, cannot be read, or is no torch archive.
    """
    hint = "Put a whole .pt file there, or set pt_model_path to one."
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise WeightsError(f"{path} is not a file", hint=hint)
        if status.st_size == 0:
            raise WeightsError(f"{path} is empty (0 bytes)", hint=hint)
        whole = is_whole(path)
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror}", hint="Check its owner and permissions."
        ) from error
    if not whole:
        raise WeightsError(f"{path} is not a whole PyTorch checkpoint: it is truncated or of another kind", hint=hint)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
