"""The report: what it says, that nothing in it can act, and that a log line is one line."""

import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from app.fleet.base import BoardFacts, Container, Done, EngineFacts, Observed, Outcome, Slot, Step, StepKind
from app.fleet.page import as_html
from app.fleet.plan import Plan, plan
from app.fleet.report import Report, as_json, as_lines, duration, line_of, plan_json, plan_rows
from app.fleet.table import plan_table, progress_table
from tests.doubles.fleet_host import target

AT = "2026-11-22T10:{:02d}:00+00:00"
NASTY = "</p><script>alert(1)</script>\x1b[31m [red]x[/red] &amp; \"'\n"


def device(name: str) -> Outcome:
    return Outcome(target(name=name).device)


def step(kind: StepKind, begin: int, end: int, error: str = "", hint: str = "") -> Done:
    return Done(Step(kind, f"why {kind.value}"), AT.format(begin), AT.format(end), error, hint)


SEEN = Observed(
    docker="27.5",
    board=BoardFacts("36.4.3", "Jetson Orin Nano 8GB", 1, 1),
    engine=EngineFacts("abcdef0123456789", "e", "FP16", AT.format(3), "mAP 0.50 → 0.50"),
    containers={Slot.CURRENT: Container("running", "sha256:1", "healthy")},
)
OUTCOMES = (
    replace(device("good"), done=(step(StepKind.IMAGE, 0, 2), step(StepKind.CONVERT, 2, 6)), observed=SEEN),
    device("same"),
    replace(device("bad"), done=(step(StepKind.IMAGE, 0, 1, "no room"),), error="no room", hint="Make room."),
    replace(device("late"), skipped="3 devices had failed"),
)


def report(*outcomes: Outcome) -> Report:
    return Report("workshop", "apply", AT.format(0), AT.format(8), "0.1.0", outcomes or OUTCOMES)


class Page(HTMLParser):
    """Tags and attributes as a browser would see them, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_summary_counts() -> None:
    assert report().summary == "4 devices in 8 min 0 s: 1 done, 1 unchanged, 1 failed, 1 skipped"


@pytest.mark.parametrize(("chosen", "code"), [((0, 1), 0), ((0, 2), 3), ((2, 3), 1)])
def test_the_exit_code(chosen: tuple[int, ...], code: int) -> None:
    assert report(*(OUTCOMES[index] for index in chosen)).exit_code == code


def test_the_lines_name_error_and_remedy() -> None:
    lines = list(as_lines(report()))
    assert lines[:4] == ["good: done", "same: unchanged", "bad: failed: no room", "  Make room."]
    assert lines[4] == "late: skipped: 3 devices had failed"


def test_json_holds_all() -> None:
    told = json.loads(json.dumps(as_json(report())))
    good, same, bad, _ = told["devices"]
    assert (told["exit_code"], good["state"], same["state"]) == (3, "done", "unchanged")
    assert [(s["step"], s["seconds"]) for s in good["steps"]] == [("image", 120), ("convert", 240)]
    assert good["versions"]["JetPack"] == "6.2"
    assert good["versions"]["infer"] == "healthy, image 1"
    assert (bad["error"], bad["hint"]) == ("no room", "Make room.")


def test_the_page_says_it_with_what_needs_somebody_first() -> None:
    page = Page(as_html(report()))
    text = " ".join(page.text)
    for word in (
        "workshop",
        "no room",
        "Make room.",
        "why convert",
        "JetPack",
        "6.2",
        "27.5",
        "FP16",
        "3 devices had failed",
    ):
        assert word in text
    assert text.index("ssh://bad") < text.index("ssh://late") < text.index("ssh://good")


def test_the_page_needs_nothing_else() -> None:
    page = Page(as_html(report()))
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not {"src", "href"} & page.names
    assert "viewport" in as_html(report())
    assert "default-src 'none'" in as_html(report())


def hostile(text: str) -> Report:
    done = Done(Step(StepKind.IMAGE, text, text), AT.format(0), AT.format(9), text, text)
    seen = Observed(docker=text, board=BoardFacts(text, text, 1, 1), engine=EngineFacts(text, text, text, text, text))
    one = replace(device("d").device, address=text, group=text, labels={text: text})
    return report(Outcome(one, (done,), text, text, observed=seen))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30) | st.sampled_from([NASTY, "<img src=x onerror=y>", "' style='x"]))
def test_no_text_becomes_markup_or_steers_a_terminal(text: str) -> None:
    plain, nasty = Page(as_html(hostile("x"))), Page(as_html(hostile(text or "x")))
    assert nasty.tags == plain.tags
    assert nasty.names == plain.names
    assert all(line.isprintable() for line in as_lines(hostile(text)))
    json.dumps(as_json(hostile(text)))


def test_a_log_line_is_one_line() -> None:
    line = line_of("press-1", step(StepKind.CONVERT, 1, 3, "it\nfailed"))
    assert line == r"2026-11-22T10:03:00+00:00 press-1 convert failed: it\nfailed (2 min 0 s)"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.04, "0.0 s"), (59.4, "59.4 s"), (61, "1 min 1 s"), (7260, "2 h 1 min")]
)
def test_durations(seconds: float, told: str) -> None:
    assert duration(seconds) == told


PLANS = [
    ("new", plan(target(), Observed(runtimes=("nvidia",)))),
    ("same", Plan()),
    ("dead", Plan(error="no answer", hint="Is it on?")),
]


def rendered(table: object) -> str:
    out = io.StringIO()
    Console(file=out, width=100, force_terminal=False).print(table)
    return out.getvalue()


def test_the_plan_as_table_and_json() -> None:
    table = rendered(plan_table(PLANS))
    for word in ("new", "image", "sent from this machine", "it is as it shall be", "no answer. Is it on?"):
        assert word in table
    assert table.count("new ") == 1 + sum("the new" in row[2] for row in plan_rows(PLANS))
    told = json.loads(json.dumps(plan_json(PLANS)))
    assert [entry["device"] for entry in told] == ["new", "same", "dead"]
    assert told[1] == {"device": "same", "steps": [], "error": None, "hint": None}


def test_the_live_table_takes_messages_for_what_they_are() -> None:
    table = rendered(progress_table([("a", "convert", 41.6, NASTY), ("b", "failed", None, "no room")]))
    assert "42" in table
    assert "[red]x[/red]" in table
    assert "\x1b" not in table
