"""An image's archive, thinned on its way: what is left is a tar that holds all but the layers that are there."""

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from app.errors import FleetError
from app.fleet.docker_host.archive import Layouts, common_layers, read_layout, thinned

LAYERS = ("aa/layer.tar", "bb/layer.tar", "cc/layer.tar")
FILES = {
    "aa/layer.tar": b"first" * 1000,
    "bb/layer.tar": b"second" * 1000,
    "cc/layer.tar": b"third" * 1000,
    "config.json": b"{}",
    "manifest.json": json.dumps([{"Config": "config.json", "RepoTags": None, "Layers": LAYERS}]).encode(),
}


def archive(
    files: Mapping[str, bytes] = FILES, links: Mapping[str, str] | None = None, kind: int = tarfile.PAX_FORMAT
) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=kind) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1.5  # a fraction: PAX says it in a header of its own
            tar.addfile(info, io.BytesIO(data))
        for name, aim in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, aim
            tar.addfile(info)
    return held.getvalue()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def unpacked(chunks: Iterator[bytes]) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar if member.isfile())
        return {name: file.read() for name, file in files if file}


@pytest.mark.parametrize("size", [1, 511, 512, 10_000, 1 << 20])
@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_all_but_what_is_there(size: int, kind: int) -> None:
    data = archive(kind=kind)
    layout = read_layout(pieces(data, size))
    assert layout.layers == list(LAYERS)
    dropped = layout.without(2)
    assert dropped == set(LAYERS[:2])
    left = unpacked(thinned(pieces(data, size), dropped))
    assert left == {name: content for name, content in FILES.items() if name not in dropped}
    assert layout.size(dropped) == sum(map(len, left.values()))


def test_nothing_dropped_is_the_same_archive() -> None:
    assert unpacked(thinned(pieces(archive(), 700), frozenset())) == FILES


def test_what_another_layer_is_a_link_to_stays() -> None:
    data = archive({**FILES, "cc/layer.tar": b""}, links={"cc/layer.tar": "../aa/layer.tar"})
    assert read_layout(pieces(data, 999)).without(2) == {"bb/layer.tar"}


def test_what_comes_again_higher_up_stays() -> None:
    manifest = json.dumps([{"Layers": ["aa/layer.tar", "bb/layer.tar", "aa/layer.tar"]}]).encode()
    assert read_layout(pieces(archive({**FILES, "manifest.json": manifest}), 999)).without(2) == {"bb/layer.tar"}


def test_the_size_of_a_layer_above_eight_gigabytes_stands_in_a_header_of_its_own() -> None:
    """As Go's archive/tar writes it; here with fewer bytes."""
    info = tarfile.TarInfo("aa/layer.tar")
    info.pax_headers = {"size": str(1 << 20)}
    rest = archive({"manifest.json": json.dumps([{"Layers": ["aa/layer.tar"]}]).encode()})
    data = info.tobuf(tarfile.PAX_FORMAT) + b"\0" * (1 << 20) + rest
    layout = read_layout(pieces(data, 5000))
    assert layout.sizes["aa/layer.tar"] == 1 << 20
    assert set(unpacked(thinned(pieces(data, 5000), layout.without(1)))) == {"manifest.json"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"x" * 2000, id="garbage"),
        pytest.param(archive()[:3000], id="half"),
        pytest.param(archive({"a": b"b"}), id="no-manifest"),
        pytest.param(archive({"manifest.json": b"[]"}), id="no-image"),
        pytest.param(archive({"manifest.json": b'[{"Layers": 1}]'}), id="no-layers"),
        pytest.param(archive({"manifest.json": b"[{}, {}]"}), id="two-images"),
    ],
)
def test_what_is_no_archive(data: bytes) -> None:
    with pytest.raises(FleetError) as raised:
        read_layout(pieces(data, 777))
    assert "on this machine" in raised.value.message


def test_a_layer_counts_with_all_below_it() -> None:
    assert common_layers(["a", "b", "c"], [["a", "x", "c"], ["a", "b"], ["b", "c"]]) == 2
    assert common_layers(["a"], [["a", "b"]]) == 1
    assert common_layers(["a"], []) == common_layers([], [["a"]]) == common_layers(["a"], [[]]) == 0


@dataclass
class Saving:
    times: int = 0

    def __call__(self) -> Iterator[bytes]:
        self.times += 1
        return pieces(archive(), 4096)


def test_a_layout_is_found_once_for_all_devices() -> None:
    layouts, saving = Layouts(), Saving()
    assert layouts.of("x", saving) is layouts.of("x", saving)
    assert saving.times == 1
    layouts.of("y", saving)
    assert saving.times == 2
