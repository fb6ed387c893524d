"""A small repository of Debian packages, signed, as NVIDIA's for Jetson is laid out: for a build that has no other."""

import hashlib
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

KEY = "jetson-ota-public.asc"


def make_repository(folder: Path, release: str, components: Mapping[str, Sequence[str]]) -> None:
    """`components`: their packages, each with a file in /opt, and one in /lib, which is a link on most systems."""
    keyring = folder.parent / "keyring"
    keyring.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(keyring), "--batch", "--quiet"]
    _run([*gpg, "--passphrase", "", "--quick-generate-key", "test", "ed25519", "sign"])
    folder.mkdir()
    (folder / KEY).write_bytes(_run([*gpg, "--armor", "--export", "test"]))
    for component, packages in components.items():
        root = folder / component
        (root / "pool").mkdir(parents=True)
        listed = "\n".join(_packed(root, name) for name in packages)
        dist = root / "dists" / release
        (dist / "main" / "binary-amd64").mkdir(parents=True)
        (dist / "main" / "binary-amd64" / "Packages").write_text(listed)
        digest = hashlib.sha256(listed.encode()).hexdigest()
        unsigned = folder.parent / "Release"
        unsigned.write_text(
            f"Suite: {release}\nCodename: {release}\nComponents: main\nArchitectures: amd64\n"
            "Date: Sat, 01 Jan 2022 00:00:00 UTC\n"
            f"SHA256:\n {digest} {len(listed.encode())} main/binary-amd64/Packages\n"
        )
        _run([*gpg, "--clearsign", "--output", str(dist / "InRelease"), str(unsigned)])


def _packed(root: Path, name: str) -> str:
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary)
        for folder in ("opt", "lib"):
            (tree / folder).mkdir()
            (tree / folder / name).write_text(name)
        (tree / "DEBIAN").mkdir()
        control = f"Package: {name}\nVersion: 1.0\nArchitecture: amd64\nMaintainer: test\nDescription: test\n"
        (tree / "DEBIAN" / "control").write_text(control)
        tree.chmod(0o755)
        file = root / "pool" / f"{name}.deb"
        _run(["dpkg-deb", "--build", "--root-owner-group", str(tree), str(file)])
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return f"{control}Filename: pool/{name}.deb\nSize: {len(content)}\nSHA256: {digest}\n"


def _run(command: Sequence[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout
