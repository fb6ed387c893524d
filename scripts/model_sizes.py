#!/usr/bin/env python3
"""Print parameters and operations of each size of a YOLO family, counted on the networks: the README's table."""

import argparse
import contextlib
import io

SIZES = {
    "yolov8": "nsmlx",
    "yolov9": "tsmce",
    "yolov10": "nsmblx",
    "yolo11": "nsmlx",
    "yolo12": "nsmlx",
    "yolo26": "nsmlx",
}


def count(name: str) -> tuple[float, float]:
    """(millions of parameters, billions of floating point operations at 640×640) of an untrained network."""
    from ultralytics import YOLO

    with contextlib.redirect_stdout(io.StringIO()):
        model = YOLO(f"{name}.yaml", verbose=False)
        model.fuse()
    from ultralytics.utils.torch_utils import get_flops, get_num_params

    return get_num_params(model.model) / 1e6, get_flops(model.model, 640)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=["yolo11"], help=f"of {', '.join(SIZES)}")
    for family in parser.parse_args().families:
        for size in SIZES[family]:
            parameters, gflops = count(family + size)
            print(f"{family + size:<10} {parameters:6.1f} M parameters  {gflops:6.1f} GFLOP at 640×640", flush=True)


if __name__ == "__main__":
    main()
