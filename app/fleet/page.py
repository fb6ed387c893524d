"""A run as one HTML page: it needs no other file, no script and no network, and fits a phone."""

from collections.abc import Iterable
from datetime import datetime, timezone
from html import escape

from app.fleet.base import Done, Outcome
from app.fleet.report import Report, duration, seconds_between, shown, state_of, versions

_ORDER = ("failed", "skipped", "done", "unchanged")  # what needs somebody comes first
_STYLE = """
:root{color-scheme:light dark;--good:#1a7f37;--bad:#c62828;--idle:#8a6d00;--line:#8884;--soft:#8882}
@media (prefers-color-scheme:dark){:root{--good:#3fb950;--bad:#ff7b72;--idle:#d29922}}
*{box-sizing:border-box}
body{font:16px/1.45 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem;overflow-wrap:anywhere}
h1{font-size:1.4rem;margin:0 0 .25rem}
p{margin:.25rem 0}
details{border:1px solid var(--line);border-radius:.5rem;margin:.6rem 0;padding:.6rem .8rem}
summary{cursor:pointer;display:flex;flex-wrap:wrap;gap:.2rem .8rem;align-items:baseline}
summary::-webkit-details-marker{display:none}
summary b::before{content:"▸ ";opacity:.75}
[open]>summary b::before{content:"▾ "}
summary b{font-size:1.05rem}
.state{font-weight:600}
.done,.unchanged{color:var(--good)}
.failed{color:var(--bad)}
.skipped{color:var(--idle)}
.error{border-left:.25rem solid var(--bad);padding:.3rem .6rem;background:var(--soft);margin:.5rem 0}
ol{list-style:none;margin:.6rem 0;padding:0}
li{margin:.45rem 0}
li small,.quiet{opacity:.75}
.track{height:.5rem;background:var(--soft);border-radius:.25rem;overflow:hidden}
.bar{height:100%;min-width:2px;background:var(--good)}
.bar.failed{background:var(--bad)}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.15rem .8rem;margin:.6rem 0}
dt{opacity:.75}
dd{margin:0}
"""


def as_html(report: Report) -> str:
    ordered = sorted(report.outcomes, key=lambda outcome: _ORDER.index(state_of(outcome)))
    title = f"{report.verb} of {report.fleet}"
    when = f"{_time(report.started)} to {_time(report.ended)} UTC, jetsmith {report.version}"
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{_text(title)}</h1>",
            f"<p>{_text(report.summary)}</p>",
            f'<p class="quiet">{_text(when)}</p>',
            *(_device(outcome, report) for outcome in ordered),
            "</body></html>\n",
        )
    )


def _device(outcome: Outcome, report: Report) -> str:
    state, device = state_of(outcome), outcome.device
    opened = " open" if state == "failed" else ""
    place = ", ".join([device.address, *([device.group] if device.group else []), device.preset])
    about = f"{outcome.skipped} · {place}" if outcome.skipped else place
    return "\n".join(
        (
            f"<details{opened}><summary><b>{_text(device.name)}</b>",
            f'<span class="state {state}">{state}</span>',
            f'<span class="quiet">{_text(about)}</span></summary>',
            _error(outcome.error, outcome.hint),
            _timeline(outcome.done, report),
            _table((*versions(outcome.observed).items(), *device.labels.items())),
            "</details>",
        )
    )


def _error(error: str, hint: str) -> str:
    if not error:
        return ""
    remedy = f"<p><b>What to do:</b> {_text(hint)}</p>" if hint else ""
    return f'<div class="error"><p>{_text(error)}</p>{remedy}</div>'


def _timeline(steps: Iterable[Done], report: Report) -> str:
    items = "\n".join(_step(done, report) for done in steps)
    return f"<ol>{items}</ol>" if items else ""


def _step(done: Done, report: Report) -> str:
    """Every bar is drawn on the same track, from the beginning of the run to its end."""
    whole = max(seconds_between(report.started, report.ended), 1e-3)
    took = seconds_between(done.started, done.ended)
    left = min(100.0, 100 * seconds_between(report.started, done.started) / whole)
    width = min(100.0 - left, 100 * took / whole)
    failed = " failed" if done.error else ""
    return (
        f"<li>{_text(done.step.kind.value)} <small>{_text(duration(took))} · {_text(done.step.reason)}</small>"
        f'<div class="track"><div class="bar{failed}" style="margin-left:{left:.2f}%;width:{width:.2f}%"></div></div>'
        "</li>"
    )


def _time(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _table(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in pairs)
    return f"<dl>{rows}</dl>" if rows else ""


def _text(text: str) -> str:
    return escape(shown(text))
