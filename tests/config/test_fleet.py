"""The inventory: what is read from it, and that every mistake is told at once, with its line."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import SettingsError
from config._addresses import canonical_address
from config._fields import PROJECT_ROOT
from config.fleet import MAX_BYTES, load_fleet, parse_fleet

HEAD = "fleet: f\ndefaults: {preset: cpu, config: config/demo-service.yaml}\n"


def mistakes(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_fleet(text, "fleet.yaml")
    assert caught.value.hint
    return caught.value.message


def test_the_example_is_a_fleet() -> None:
    fleet = load_fleet(PROJECT_ROOT / "config" / "fleet.example.yaml")
    assert fleet.name == "workshop"
    one, two, robot = fleet.devices
    assert (one.name, one.address, one.preset, one.tag) == (
        "press-1",
        "ssh://jetson@192.0.2.11",
        "jetpack6",
        "jetpack6",
    )
    assert one.config == PROJECT_ROOT / "config/camera.yaml"
    assert two.env == {"JETSMITH_UID": "1001", "JETSMITH_CAMERA": "/dev/video2"}
    assert (robot.preset, robot.tag, robot.labels) == ("jetpack7", "jetpack7", {"site": "hall-3"})


def test_the_nearer_word_counts_and_tables_are_merged() -> None:
    text = """
fleet: f
defaults:
  {preset: cpu, config: config/demo-service.yaml, tag: one, env: {JETSMITH_UID: 7, JETSMITH_GID: "7"}, labels: {a: x}}
groups: {g: {tag: two, env: {JETSMITH_GID: "8"}}}
devices:
  a: ssh://a
  b: {address: ssh://b, group: g, labels: {b: y}}
  c: {address: ssh://c, group: g, tag: three}
"""
    a, b, c = parse_fleet(text, "x").devices
    assert [device.tag for device in (a, b, c)] == ["one", "two", "three"]
    assert b.env == {"JETSMITH_UID": "7", "JETSMITH_GID": "8"}
    assert b.labels == {"a": "x", "b": "y"}
    assert (a.line, b.line) == (7, 8)


def test_labels_and_variables_are_taken_as_they_are_written() -> None:
    text = """
fleet: f
defaults: {preset: cpu, config: config/demo-service.yaml, env: {JETSMITH_VIDEO_GID: 044}}
groups: {g: {labels: {time: 12:30}}}
devices: {a: {address: ssh://a, group: g, labels: {rack: 010}}}
"""
    (device,) = parse_fleet(text, "x").devices
    assert device.env == {"JETSMITH_VIDEO_GID": "044"}
    assert device.labels == {"rack": "010", "time": "12:30"}


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        pytest.param("", 1, "the key fleet is missing", id="empty"),
        pytest.param("fleet: A b\ndevices: {a: ssh://h}", 1, "small letters", id="name"),
        pytest.param(HEAD + "devices: {}", 3, "devices is {}", id="no-devices"),
        pytest.param(HEAD + "devises: {a: ssh://h}", 3, "Did you mean devices?", id="unknown-section"),
        pytest.param(HEAD + "devices:\n  a: {adress: ssh://h}", 4, "Did you mean address?", id="unknown-key"),
        pytest.param(HEAD + "devices:\n  a: {group: g}\ngroups: {g: {}}", 4, "has no address", id="no-address"),
        pytest.param(HEAD + "devices:\n  a:", 4, "has no address", id="null-device"),
        pytest.param(HEAD + "devices:\n  a: 5", 4, "devices.a is 5", id="a-number"),
        pytest.param(HEAD + "devices:\n  A: ssh://h", 4, "is no name", id="device-name"),
        pytest.param(HEAD + "devices:\n  a: ssh://h\n  a: ssh://i", 5, "here twice", id="name-twice"),
        pytest.param(
            HEAD + "devices:\n  a: ssh://h\n  b: ssh://u@H:22", 5, "address of a (line 4)", id="address-twice"
        ),
        pytest.param(
            HEAD + "devices:\n  a: {address: ssh://h,\n    group: ori}\ngroups: {orin: {}}",
            5,
            "Did you mean orin?",
            id="unknown-group",
        ),
        pytest.param("fleet: f\ndevices:\n  a: ssh://h", 3, "no preset", id="no-preset"),
        pytest.param("fleet: f\ndefaults:\n  preset: jetpack5\ndevices: {a: ssh://h}", 3, "jetpack6", id="preset"),
        pytest.param(
            "fleet: f\ndevices:\n  a:\n    address: ssh://h\n    preset: jetpack7\n    tag: jetpack6-1.2",
            6,
            "made for jetpack6",
            id="another-jetpack",
        ),
        pytest.param(
            HEAD + "devices:\n  a: {address: ssh://h, config: config/no.yaml}", 4, "no settings file", id="no-file"
        ),
        pytest.param(HEAD + "devices:\n  a: {address: ssh://h, tag: 'a b'}", 4, "the tag of an image", id="tag"),
        pytest.param(
            HEAD + "devices:\n  a: {address: ssh://h, registry: r.io/x}", 4, "slash at the end", id="registry"
        ),
        pytest.param(
            HEAD + "devices:\n  a:\n    address: ssh://h\n    env: {JETSMITH_CAMRA: x}",
            6,
            "Did you mean JETSMITH_CAMERA?",
            id="unknown-variable",
        ),
        pytest.param(
            HEAD + "devices:\n  a:\n    address: ssh://h\n    env: {JETSMITH_TAG: x}",
            6,
            "the key tag sets it",
            id="tag-in-env",
        ),
        pytest.param(
            HEAD + "devices:\n  a: {address: ssh://h, env: {JETSMITH_UID: [1]}}", 4, "in one line", id="a-list"
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, line: int, told: str) -> None:
    message = mistakes(text)
    assert f"fleet.yaml, line {line}: " in message
    assert told in message


def test_all_mistakes_are_told_at_once_in_the_order_of_their_lines() -> None:
    message = mistakes("fleet: f\ndefaults: {preset: none}\ndevices:\n  a: ftp://x\n  b: {address: ssh://h, taag: x}\n")
    assert message.startswith("3 mistakes")
    assert [part.split(":")[0] for part in message.split("line ")[1:]] == ["2", "4", "5"]


def test_wrong_settings_are_told_once_for_all_devices(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("vision: {yolo: {iuo: 0.5}}")
    message = mistakes(
        f"{HEAD}devices:\n" + "".join(f"  d{n}: {{address: ssh://h{n}, config: {path}}}\n" for n in range(3))
    )
    assert message.count("iuo") == 1


SOURCES = "infer: {sources: [camera:0], sinks: {jsonl: /output/x.jsonl}}\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param("", "infer.sources is missing", id="nothing-to-watch"),
        pytest.param("infer: {sources: [camera:0]}", "infer.sinks names none", id="results-go-nowhere"),
        pytest.param("infer: {sources: [/media/x.mp4], sinks: {jsonl: '-'}}", "/media/x.mp4", id="a-file-of-here"),
        pytest.param(
            "infer: {sources: [camera:0], sinks: {save: runs/x}}", "infer.sinks.save is runs/x", id="a-folder-of-here"
        ),
        pytest.param("models_dir: /data\n" + SOURCES, "models_dir", id="models-elsewhere"),
        pytest.param(
            "vision: {yolo: {model_source: {pt_model_path: models/mine-1.pt}}}\n" + SOURCES,
            "models/mine-1.pt are not on this machine",
            id="own-weights",
        ),
        pytest.param("vision: {yolo: {calibration: {images: /p}}}\n" + SOURCES, "calibration.images", id="pictures"),
    ],
)
def test_settings_that_are_no_service_of_a_device_are_told_at_the_line_that_names_them(
    tmp_path: Path, content: str, told: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    message = mistakes(f"{HEAD}devices:\n  a:\n    address: ssh://h\n    config: {path}\n")
    assert "fleet.yaml, line 6: " in message
    assert told in message


def test_the_preset_s_own_settings_are_told_at_the_preset() -> None:
    assert "line 3: config/demo.yaml: infer.sources" in mistakes(
        "fleet: f\ndefaults:\n  preset: cpu\ndevices: {a: ssh://h}"
    )


def test_this_machine_s_environment_is_no_setting_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETSMITH_MODELS_DIR", "/data")
    assert parse_fleet(HEAD + "devices: {a: ssh://h}", "x").devices


ADDRESSES = {
    "ssh://user:secret@h": "password",
    "tcp://user:secret@h:2376": "password",
    "ssh://h/path": "path",
    "ssh://h?x=1": "nothing after",
    "ssh://h:0": "port",
    "ssh://h:99999": "ssh://",
    "ssh://": "host",
    "ssh://-oProxyCommand=x": "host",
    "ssh://-x@h": "user",
    "ssh://1.2.3": "IP address",
    "ssh://300.1.1.1": "IP address",
    "ssh://a b": "ssh://",
    "tcp://h": "port is missing",
    "unix://run/docker.sock": "three slashes",
    "http://h:80": "ssh://",
    "host": "ssh://",
}


@pytest.mark.parametrize(("address", "told"), ADDRESSES.items())
def test_a_wrong_address_is_refused_without_its_secret(address: str, told: str) -> None:
    message = mistakes(f"{HEAD}devices: {{a: {{address: '{address}'}}}}")
    assert told in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ssh://a@H", "ssh://b@h:22"),
        ("ssh://[::1]", "ssh://[0::1]:22"),
        ("unix:///a//b", "unix:///a/b"),
        ("ssh://h.", "ssh://h"),
    ],
)
def test_one_daemon_by_two_names(one: str, other: str) -> None:
    assert canonical_address(one)[1] == canonical_address(other)[1]


def test_thousands_of_devices_are_read_and_more_than_a_megabyte_is_not(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(HEAD + "devices:\n" + "".join(f"  d{n}: ssh://h{n}\n" for n in range(2000)))
    assert len(load_fleet(path).devices) == 2000
    path.write_bytes(b"#".ljust(MAX_BYTES + 1, b"x"))
    with pytest.raises(SettingsError, match="larger than 1024 KiB"):
        load_fleet(path)


WORDS = st.sampled_from(
    [
        "fleet",
        "defaults",
        "groups",
        "devices",
        "address",
        "group",
        "preset",
        "tag",
        "config",
        "labels",
        "env",
        "cpu",
        "a",
        "b",
    ]
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), WORDS, st.just("ssh://h"))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(WORDS, TREES, max_size=4))
def test_whatever_is_written_is_a_fleet_or_an_error_with_lines(content: dict[str, object]) -> None:
    try:
        fleet = parse_fleet(yaml.safe_dump({"fleet": "f", **content}), "fleet.yaml")
    except SettingsError as error:
        assert "fleet.yaml, line " in error.message  # noqa: PT017
    else:
        assert len({device.name for device in fleet.devices}) == len(fleet.devices) > 0
