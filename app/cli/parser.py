"""Commands and their options. A command's module is imported when it runs: `--help` loads nothing."""

import argparse
from collections.abc import Callable
from pathlib import Path

from app.cli import version_line
from app.cli.fleet_parser import add_fleet

_SOURCES = "pictures, videos, folders, globs, camera:0, rtsp://…, http(s)://…, csi://0, or - for paths on stdin"
_COMPARED = ("pytorch", "onnxruntime", "ultralytics")
Run = Callable[[argparse.Namespace], int]


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jetsmith",
        description="Turn a YOLO model into an engine for this device, and run it.",
        epilog="Settings: config/config.yaml, then JETSMITH_… variables, then flags; `jetsmith config` shows them all.",
    )
    parser.add_argument("--version", action="version", version=version_line())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_convert(commands.add_parser("convert", help="build the engine of a model, if it is not there yet"))
    _add_infer(commands.add_parser("infer", help="run a model on pictures, videos and cameras"))
    _add_benchmark(commands.add_parser("benchmark", help="how fast a model runs here, and why it is no faster"))
    _add_engines(commands.add_parser("engines", help="see and clean the store of engines"))
    _add_status(commands.add_parser("status", help="how far conversions are, or how they ended"))
    _add_doctor(commands.add_parser("doctor", help="say what is wrong with this machine, and how to mend it"))
    add_fleet(commands.add_parser("fleet", help="provision many devices: plan, apply, status, rollback, logs"))
    config = commands.add_parser("config", help="show every setting, its value and where it can be set")
    _add_common(config)
    config.set_defaults(run=_config)
    return parser


def make_guide_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="yolo_to_tensorrt.py",
        description="Convert the configured YOLO model into an engine for this device.",
        epilog="`jetsmith convert` does the same and takes further options.",
    )
    _add_guide_options(parser)
    parser.set_defaults(
        run=_convert,
        **dict.fromkeys(("model", "precision", "imgsz", "batch", "backend")),
        **dict.fromkeys(("trust_weights", "keep_onnx", "print_trtexec"), False),
    )
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="PATH", help="another settings file than config/config.yaml")
    parser.add_argument("--verbose", action="store_true", help="show debug messages and tracebacks")


def _add_guide_options(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    parser.add_argument("--force-download", action="store_true", help="download the weights again")
    parser.add_argument("--force-convert", action="store_true", help="build the engine again")
    parser.add_argument("--force-all", action="store_true", help="both of these")
    parser.add_argument("--download-only", action="store_true", help="download the weights and stop")
    parser.add_argument("--skip-verify", action="store_true", help="do not compare the engine with the FP32 graph")


def _add_convert(parser: argparse.ArgumentParser) -> None:
    _add_guide_options(parser)
    _add_model(parser, "a model's name (yolo11n-pose), or the path of your own .pt")
    parser.add_argument("--precision", metavar="P", help="FP32, FP16 or INT8")
    parser.add_argument("--imgsz", nargs=2, type=int, metavar=("H", "W"), help="height and width of the model's input")
    parser.add_argument("--batch", type=int, metavar="N", help="pictures that one call of the engine takes")
    parser.add_argument("--keep-onnx", action="store_true", help="keep the exported graphs beside the weights")
    parser.add_argument(
        "--print-trtexec", action="store_true", help="print the trtexec line that builds the same, and stop"
    )
    parser.add_argument("--trust-weights", action="store_true", help="load a .pt that runs code of its own: only yours")
    parser.set_defaults(run=_convert)


def _add_model(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--model", metavar="MODEL", help=f"{what}; default: the configured one")
    parser.add_argument("--backend", metavar="B", help="auto, tensorrt, tensorrt_rtx or onnxruntime")


def _add_infer(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help=_SOURCES)
    _add_model(parser, "a model's name, or the path of its .pt or engine")
    parser.add_argument("--fps", type=_above(0.0), metavar="F", help="at most so many frames a second of each source")
    parser.add_argument("--stride", type=_whole_above_0, default=1, metavar="N", help="every Nth frame of each source")
    parser.add_argument(
        "--duration", type=_above(0.0), metavar="S", help="so many seconds of each video or live source"
    )
    _add_thresholds(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write JSON lines into this file")
    parser.add_argument("--save", type=Path, metavar="DIR", help="write annotated pictures and videos into this folder")
    parser.add_argument("--crops", type=Path, metavar="DIR", help="write each object as a picture into this folder")
    parser.add_argument("--track", action="store_true", help="number objects that stay the same from frame to frame")
    parser.add_argument("--format", choices=["table", "jsonl"], help="default: table on a terminal, else jsonl")
    parser.add_argument("--wait", action="store_true", help="wait while a converter builds the engine")
    parser.set_defaults(run=_infer)


def _add_thresholds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--conf", type=float, metavar="C", help="drop detections below this confidence (0.25)")
    parser.add_argument("--iou", type=float, metavar="I", help="overlap from which one of two boxes is dropped (0.7)")
    parser.add_argument("--classes", metavar="LIST", help="only these classes, by number or name: 0,person")
    parser.add_argument("--max-det", type=int, metavar="N", help="most detections per picture (300)")


def _add_benchmark(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    _add_model(parser, "a model's name, or the path of its .pt or engine")
    parser.add_argument(
        "--source", metavar="SOURCE", help="a picture, a folder, a glob or a video; default: demo scenes"
    )
    parser.add_argument(
        "--compare", type=_compared, metavar="LIST", help=f"of {','.join(_COMPARED)}, or none; default: all that can be"
    )
    parser.add_argument(
        "--duration", type=_above(0.0), default=10.0, metavar="S", help="seconds of measuring for each program (10)"
    )
    _add_thresholds(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found into this file")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the latencies into this picture")
    parser.epilog = (
        "Exit: 0 measured, 1 an error, 3 a frame could not be read, or a program of --compare not be measured."
    )
    parser.set_defaults(run=_benchmark)


def _compared(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in (*_COMPARED, "none")]
    if unknown or ("none" in names and len(names) > 1) or not names:
        raise argparse.ArgumentTypeError(f"{text!r} is not of {', '.join(_COMPARED)}, or none")
    return () if names == ("none",) else names


def _above(limit: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not limit < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not above {limit:g}")
        return value

    return number


def _whole_above_0(text: str) -> int:
    return int(_above(0)(str(int(text))))


def _add_engines(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every engine, what it is and whether it fits this device")
    show = actions.add_parser("show", help="one engine's manifest")
    show.add_argument("name", help="an alias, a file name or the beginning of a key")
    export = actions.add_parser("export", help="write an engine's bare plan, for trtexec and Polygraphy")
    export.add_argument("name", help="an alias, a file name or the beginning of a key")
    export.add_argument("--plan", type=Path, metavar="FILE", required=True, help="where to write it: a new file")
    check = actions.add_parser("check", help="whether the engine that `infer` would take loads and runs here")
    _add_model(check, "a model's name, or the path of its .pt or engine")
    prune = actions.add_parser("prune", help="remove engines that nothing points to")
    prune.add_argument("--yes", action="store_true", help="do not ask")
    commands = (
        (listing, _engines_list),
        (show, _engines_show),
        (export, _engines_export),
        (check, _engines_check),
        (prune, _engines_prune),
    )
    for action, run in commands:
        _add_common(action)
        action.set_defaults(run=run)
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    check.add_argument("--json", action="store_true", help="one JSON object")
    check.add_argument("--sha256", default="", metavar="DIGEST", help="an error if the engine is another than this")
    check.set_defaults(**dict.fromkeys(("conf", "iou", "max_det", "classes")))


def _add_status(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="only these: an engine's alias; default: all")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--service", action="store_true", help="of services alone; JOB is then a service's name")
    parser.add_argument("--health", action="store_true", help="only the configured one, for a health check")
    parser.epilog = "Exit: 0 ready or being built, 1 failed, hung, or a JOB that was never begun."
    parser.set_defaults(run=_status)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    _add_common(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument(
        "--for", dest="role", choices=["convert", "infer"], default="", help="what is installed here for"
    )
    parser.epilog = "Exit: 0 all is well, 1 something is bad."
    parser.set_defaults(run=_doctor)


def _convert(args: argparse.Namespace) -> int:
    from app.cli.convert import convert_command

    return convert_command(args)


def _infer(args: argparse.Namespace) -> int:
    from app.cli.infer import infer_command

    return infer_command(args)


def _benchmark(args: argparse.Namespace) -> int:
    from app.cli.benchmark import benchmark_command

    return benchmark_command(args)


def _status(args: argparse.Namespace) -> int:
    from app.cli.status import status_command

    return status_command(args)


def _doctor(args: argparse.Namespace) -> int:
    from app.cli.doctor import doctor_command

    return doctor_command(args)


def _config(args: argparse.Namespace) -> int:
    from app.cli.config import config_command

    return config_command(args)


def _engines_list(args: argparse.Namespace) -> int:
    from app.cli.engines import list_command

    return list_command(args)


def _engines_show(args: argparse.Namespace) -> int:
    from app.cli.engines import show_command

    return show_command(args)


def _engines_export(args: argparse.Namespace) -> int:
    from app.cli.engines import export_command

    return export_command(args)


def _engines_check(args: argparse.Namespace) -> int:
    from app.cli.engines_check import check_command

    return check_command(args)


def _engines_prune(args: argparse.Namespace) -> int:
    from app.cli.engines import prune_command

    return prune_command(args)
