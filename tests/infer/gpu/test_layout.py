import ctypes
import re
from pathlib import Path

from app.infer.gpu import layout
from tests.doubles.kernels_on_cpu import kernels_library

_TYPES = Path(__file__).resolve().parents[3] / "app" / "infer" / "kernels" / "types.cuh"


def test_the_kernels_and_the_host_mean_the_same_structures() -> None:
    sizes = (ctypes.c_int * 7)()
    kernels_library().sizes(sizes)
    names = ["Frame", "State", "Candidate", "Gaussian", "Object", "Box"]
    assert list(sizes) == [*(layout.STRUCTURES[name].itemsize for name in names), layout.JOB.itemsize]


def test_their_fields_have_the_same_order() -> None:
    source = re.sub(r"//.*", "", _TYPES.read_text("utf-8"))
    for name, structure in {**layout.STRUCTURES, "Job": layout.JOB}.items():
        match = re.search(rf"struct {name} {{(.*?)}};", source, re.DOTALL)
        assert match is not None
        declared = re.findall(r"(\w+)\s*[,;]", match[1])
        ours = list(structure.names or ())
        if name == "Candidate":  # its box is a structure of its own there
            ours = ["box", *ours[4:]]
        assert ours == declared
