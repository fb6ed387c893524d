"""What a checkpoint says of itself, read without loading it: a `.pt` is a pickle, and loading one needs torch."""

import re
import struct
import zipfile
from pathlib import Path

_MAX_PICKLE_BYTES = 2**26
# The text "imgsz", perhaps a note to the unpickler's memory, and an integer of 1, 2 or 4 bytes (Python's pickletools).
_TRAINED_SIZE = re.compile(rb"imgsz(?:q.|r.{4}|\x94)?(?:K(.)|M(..)|J(.{4}))", re.DOTALL)


def trained_size(path: Path) -> int | None:
    """
    The side of the square input that a model was trained at (`train_args.imgsz`); None if the file does not tell.

    At another size a detector finds less, and a classifier answers wrongly.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entry = next((info for info in archive.infolist() if info.filename.endswith("/data.pkl")), None)
            if entry is None or entry.file_size > _MAX_PICKLE_BYTES:
                return None
            match = _TRAINED_SIZE.search(archive.read(entry))
    except (OSError, ValueError, RuntimeError, NotImplementedError, EOFError, zipfile.BadZipFile):
        return None  # no checkpoint of today's kind: whoever loads it says what is wrong with it
    if match is None:
        return None
    digits = next(group for group in match.groups() if group is not None)
    return int(struct.unpack("<I", digits.ljust(4, b"\0"))[0])
