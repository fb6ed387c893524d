#!/usr/bin/env python3
"""
How large the images are, and what each of their layers adds to the base: a table for the README.

    scripts/image_sizes.py jetsmith-infer:cpu jetsmith-converter:cpu
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from itertools import takewhile

MB = 1_000_000


@dataclass(frozen=True)
class Layer:
    made_by: str
    bytes: int


@dataclass(frozen=True)
class Sizes:
    """An image's bytes: all of it, and of the layers that were put on its base."""

    image: str
    total: int
    added: tuple[Layer, ...]  # the last first; without the empty ones

    @property
    def added_bytes(self) -> int:
        return sum(layer.bytes for layer in self.added)

    def of(self, folder: str) -> int:
        """What was copied from this folder of another stage."""
        return sum(layer.bytes for layer in self.added if layer.made_by.startswith(f"COPY {folder} "))


def sizes_of(image: str) -> Sizes:
    """The base ends where this project's first own instruction begins: SHELL leaves none, so the first RUN after it."""
    history = _docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", image)
    layers = [Layer(made_by, int(size)) for size, _, made_by in (line.partition("\t") for line in history.splitlines())]
    own = list(takewhile(lambda layer: not layer.made_by.startswith("SHELL"), layers))
    if len(own) == len(layers):
        raise SystemExit(f"error: {image} is no image of Dockerfile.l4t\nhint:  Name one: jetsmith-infer:cpu")
    total = int(json.loads(_docker("image", "inspect", "--format", "{{json .Size}}", image)))
    return Sizes(image, total, tuple(layer for layer in own if layer.bytes))


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


def main(images: list[str]) -> int:
    print("| image | all | without its base | libraries | drawing, following | the project |")
    print("|---|---|---|---|---|---|")
    for sizes in map(sizes_of, images):
        parts = [sizes.of("/opt/venv"), sizes.of("/added"), sizes.of("/opt/jetsmith")]
        columns = [sizes.total, sizes.added_bytes, *parts]
        print(
            f"| {sizes.image} | " + " | ".join(f"{column / MB:.0f} MB" if column else "–" for column in columns) + " |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
