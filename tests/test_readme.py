"""What the README says is true: its links, commands, options and tables."""

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

from app.catalog import parse_model_name
from app.cli.parser import make_guide_parser, make_parser
from config.fleet import parse_fleet
from config.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "app" / "README.md", *(ROOT / "models").glob("*/README.md")]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    headings = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, target
        elif not target.startswith("https://"):
            assert (page.parent / target).exists(), target


def _commands() -> list[str]:
    blocks = re.findall(r"```(?:console|sh)\n(.*?)```", README, flags=re.S)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return lines + re.findall(r"`((?:jetsmith|scripts/|python3 )[^`]*)`", README)


@pytest.mark.parametrize("command", sorted(set(_commands())))
def test_commands_are_real(command: str) -> None:
    for part in re.split(r"\||&&", command):
        words = shlex.split(part, comments=True)
        if not words:
            continue
        if words[0] == "jetsmith" and "NAME" not in part and len(words) > 1:
            if words[1:] not in (["convert"], ["infer"]) or words[1] == "convert":
                make_parser().parse_args(words[1:] if words != ["jetsmith", "infer"] else ["infer", "x"])
            for name in (words[i + 1] for i, word in enumerate(words) if word == "--model"):
                assert name.endswith(".pt") or parse_model_name(name)
        elif words[0].startswith("scripts/"):
            assert (ROOT / words[0]).stat().st_mode & 0o111, words[0]
        elif words[0] == "python3" and words[1].startswith("scripts/"):
            assert (ROOT / words[1]).is_file()


def test_every_option_is_described() -> None:
    for parser in (make_guide_parser(), make_parser()._subparsers._group_actions[0].choices["infer"]):  # type: ignore[union-attr,index]
        for action in parser._actions:
            for option in action.option_strings:
                if option.startswith("--") and option != "--help":
                    assert f"`{option}" in README, f"README.md does not describe {option}"


def test_the_tables_are_what_the_code_says() -> None:
    script: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "readme_tables.py"))
    assert script["with_tables"](README) == README, "run scripts/readme_tables.py"


def test_the_tree_is_there() -> None:
    for folder in ("app", "config", "models", "scripts", "tests"):
        assert (ROOT / folder).is_dir()
        assert f"\n{folder}/ " in README


def test_the_yaml_is_the_shipped_one() -> None:
    block = next(found for found in re.findall(r"```yaml\n(.*?)```", README, flags=re.S) if found.startswith("vision:"))
    shipped = "\n".join(line for line in (ROOT / "config/config.yaml").read_text().splitlines() if line[:1] not in "#")
    assert block.strip() == shipped.strip()


def test_every_yaml_can_be_loaded(tmp_path: Path) -> None:
    fleets = 0
    for block in re.findall(r"```yaml\n(.*?)```", README, flags=re.S):
        if block.startswith("fleet:"):
            parse_fleet(block.replace("config/camera.yaml", "config/demo-service.yaml"), "README.md")
            fleets += 1
        else:
            (tmp_path / "x.yaml").write_text(block)
            load_settings(tmp_path / "x.yaml")
    assert fleets == 2


def test_no_place_was_left_empty() -> None:
    assert "@@" not in README
