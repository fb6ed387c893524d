"""A hint's command works when it is pasted."""

import argparse
import shlex

import pytest

from app.cli.parser import make_parser
from app.cli.pasteable import pasteable

AGAIN = "Build it again: jetsmith convert --force-convert"


@pytest.mark.parametrize(
    ("words", "hint", "expected"),
    [
        ("infer x.jpg", AGAIN, AGAIN),
        ("infer x.jpg --model yolov8n", AGAIN, "Build it again: jetsmith convert --model yolov8n --force-convert"),
        ("infer x.jpg --model models/yolov8n.engine", "jetsmith convert", "jetsmith convert --model yolov8n"),
        ("infer x.jpg --model runs/best.pt", "Do `jetsmith convert`.", "Do `jetsmith convert --model runs/best.pt`."),
        ("infer x.jpg --model best", "jetsmith convert", "jetsmith convert --model best.pt"),
        ("infer x.jpg --model best.engine", "jetsmith convert --model best.engine", "jetsmith convert --model best.pt"),
        ("infer x.jpg --config a.yaml", AGAIN, "Build it again: jetsmith convert --config a.yaml --force-convert"),
        ("infer x.jpg --model yolov8n", "jetsmith convert --model yolov8n", "jetsmith convert --model yolov8n"),
        ("convert --config 'my settings.yaml'", "jetsmith convert", "jetsmith convert --config 'my settings.yaml'"),
        ("infer x.jpg --config a.yaml", "jetsmith convert --model b", "jetsmith convert --config a.yaml --model b"),
        ("infer x.jpg --model yolov8n", "Check the file.", "Check the file."),
    ],
)
def test_the_options_of_this_very_command_are_put_in(words: str, hint: str, expected: str) -> None:
    parsed = make_parser().parse_args(shlex.split(words))
    assert pasteable(hint, parsed) == expected
    command = expected.removeprefix("Build it again: ").removeprefix("Do `").removesuffix("`.")
    if command.startswith("jetsmith"):
        assert isinstance(make_parser().parse_args(shlex.split(command)[1:]), argparse.Namespace)


def test_before_the_options_are_read_a_hint_is_left_as_it_is() -> None:
    assert pasteable(AGAIN, None) == AGAIN
