"""Whatever stands in a file, a variable or a flag: the answer is settings, or a SettingsError."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.errors import SettingsError
from config._yaml import parse_yaml, read_yaml
from config.settings import Settings, load_settings, settings_reference

KEYS = [row.key for row in settings_reference()]
NAMES = sorted({part for key in KEYS for part in key.split(".")})
VARIABLES = [row.environment for row in settings_reference()]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["auto", "FP16", "yolo11n-pose", "a.pt", "a.engine", 640, 0.5])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def settle(config: Path | None = None, overrides: dict[str, Any] | None = None) -> None:
    try:
        found = load_settings(config, overrides)
    except SettingsError as error:
        assert str(error)  # noqa: PT017
        return
    assert type(found) is Settings
    height, width = found.vision.yolo.input_size
    assert height % 32 == width % 32 == 0
    assert Path(found.vision.yolo.model_path).is_absolute()


@quick
@given(st.binary(max_size=200))
def test_any_bytes_as_a_file(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_bytes(data)
        settle(path)


@quick
@given(st.text(alphabet="abyn01:- \n\t&*!<>[]{}'\"|%#?,~.", max_size=60))
@example("? [a]\n: b")
@example("!!timestamp x: 1")
@example("x: !!float 1_")
@example("x: !!null")
@example("x: 1:60")
def test_any_yaml_is_plain_values_or_refused(text: str) -> None:
    try:
        read = parse_yaml(text, "x.yaml")
    except SettingsError:
        return
    assert all(line >= 1 for line in read.lines.values())


@quick
@given(st.dictionaries(st.sampled_from(["vision", "models_dir"]) | st.text(max_size=5), values, max_size=3))
def test_any_structure_as_a_file(content: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_text(yaml.safe_dump({"vision": {"yolo": content}}), encoding="utf-8")
        settle(path)
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        settle(path)


@quick
@given(
    st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text(max_size=8), max_size=5)
)
def test_what_pyyaml_writes_is_read_back(content: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        path.write_text(yaml.safe_dump(content, allow_unicode=False), encoding="utf-8")
        assert read_yaml(path).values == content if content else True


@quick
@given(
    st.dictionaries(
        st.sampled_from(VARIABLES) | st.from_regex(r"JETSMITH_[A-Z_]{0,12}", fullmatch=True),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
        | st.sampled_from(["1", "[", "[1,2]", "{}", "320,320", "null", "NaN", "auto", "-1", "1e999"]),
        max_size=4,
    )
)
def test_any_environment(variables: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, text in variables.items():
            patch.setenv(name, text)
        settle()


@quick
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), values, max_size=4))
def test_any_flags(overrides: dict[str, Any]) -> None:
    settle(None, overrides)
