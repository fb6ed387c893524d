"""The child that asks TensorRT's inspector: an engine is loaded outside the command's own process."""

from pathlib import Path
from typing import Any

from app.convert.child import Channel, child_main
from app.engines.header import read_header
from app.runtime.tensorrt import TensorRTRunner
from app.types import Backend


def _inspect(job: dict[str, Any], channel: Channel) -> dict[str, Any]:
    engine = Path(job["engine"])
    header, offset = read_header(engine)
    with TensorRTRunner(engine, header=header, offset=offset, backend=Backend(job["backend"])) as runner:
        return {"information": runner.layer_information()}


if __name__ == "__main__":
    child_main(_inspect)
