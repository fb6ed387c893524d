"""Python imports this by itself where its folder is on PYTHONPATH: the export's child is another one then."""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

_CHILD = "app.convert.export_child"


class _Instead:
    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return spec_from_file_location(name, Path(__file__).with_name("child.py")) if name == _CHILD else None


if _CHILD in sys.orig_argv:
    sys.meta_path.insert(0, _Instead)
