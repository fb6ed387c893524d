"""Fetch one file over HTTP: resumed where it broke off, tried again with growing waits, checked as it comes."""

from typing import TYPE_CHECKING

from app.convert.answer import receive, require_good_answer
from app.convert.connection import (
    Address,
    Broken,
    Patience,
    library_missing,
    open_answer,
    open_client,
    parse_address,
)
from app.convert.partial import PartialFile
from app.errors import DownloadFailed
from app.progress import Phase, Reporter
from app.text import masked

if TYPE_CHECKING:
    import httpx
    from tenacity import RetryCallState, Retrying


def download(url: str, part: PartialFile, reporter: Reporter, patience: Patience) -> bool:
    """
    Bring `part` to its full length; True if it goes on from what an earlier connection brought.

    Raises:
        DownloadFailed: the server refuses, sends something else than weights, or stays out of reach.
        WeightsError: the disk is full or cannot be written.
    """
    address, tally = parse_address(url), _Tally(patience.attempts)
    resumed = part.notes() is not None
    with open_client(patience) as client, reporter.phase(f"download {part.target.name}", unit="B") as step:

        def attempt() -> None:
            before = part.size
            try:
                _fetch(client, address, part, step, patience)
            finally:
                tally.count(part.size - before >= patience.least_bytes)

        try:
            _retrying(address, tally, reporter, patience)(attempt)
        except Broken as error:
            raise DownloadFailed(
                f"{address.shown} could not be downloaded, tried {tally.total} times: {masked(str(error))}"
            ) from error
    return resumed or tally.total > 1


class _Tally:
    """Counts attempts; one that brought enough makes up for those before it that brought next to nothing."""

    def __init__(self, allowed: int) -> None:
        self._allowed, self._fruitless, self.total = allowed, 0, 0

    def count(self, progress: bool) -> None:
        self.total += 1
        self._fruitless = 0 if progress else self._fruitless + 1

    @property
    def spent(self) -> bool:
        return self._fruitless >= self._allowed


def _retrying(address: Address, tally: _Tally, reporter: Reporter, patience: Patience) -> "Retrying":
    try:
        import tenacity
    except ImportError as error:
        raise library_missing(error) from error

    backoff = tenacity.wait_exponential(
        multiplier=patience.first_wait_s, max=patience.longest_wait_s
    ) + tenacity.wait_random(0, patience.first_wait_s)

    def wait(state: "RetryCallState") -> float:
        asked = failure.wait_s if isinstance(failure := _error(state), Broken) else 0.0
        return max(backoff(state), min(asked, patience.longest_wait_s))

    def tell(state: "RetryCallState") -> None:
        wait_s = state.next_action.sleep if state.next_action else 0.0
        reporter.note(f"{address.shown}: {masked(str(_error(state)))}; trying again in {wait_s:.1f} s")

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Broken),
        stop=lambda _: tally.spent,
        wait=wait,
        before_sleep=tell,
        reraise=True,
    )


def _error(state: "RetryCallState") -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _fetch(client: "httpx.Client", address: Address, part: PartialFile, step: Phase, patience: Patience) -> None:
    """One connection. Returns when the part is whole."""
    notes = part.notes()
    if notes is not None and notes.length == part.size:
        return  # a run before this one was ended between the last byte and the rename
    headers = {}
    if notes is not None:
        headers["Range"] = f"bytes={part.size}-"
        if notes.validator:
            headers["If-Range"] = notes.validator
    with open_answer(client, address, headers) as response:
        require_good_answer(response, address, part)
        receive(response, address, part, step, patience)
