"""Does a server have the weights? Asked with Python's own client: the doctor works where nothing is installed."""

import base64
import http.client
import queue
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import IO

from app import __version__


@dataclass(frozen=True)
class Answer:
    status: int | None  # None: there was none
    problem: str = ""


class _StayHere(urllib.request.HTTPRedirectHandler):
    """A redirection is an answer: the file is known there. Where it leads to often takes no HEAD."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


def ask(url: str, auth: tuple[str, str] | None = None, timeout_s: float = 5.0) -> Answer:
    """HEAD `url`. In a thread of its own: looking a name up heeds no timeout."""
    answers: queue.Queue[Answer] = queue.Queue()
    threading.Thread(target=lambda: answers.put(_head(url, auth, timeout_s)), daemon=True).start()
    try:
        return answers.get(timeout=timeout_s)
    except queue.Empty:
        return Answer(None, f"no answer within {timeout_s:g} s")


def _head(url: str, auth: tuple[str, str] | None, timeout_s: float) -> Answer:
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": f"jetsmith/{__version__}"})  # noqa: S310
    if auth is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(":".join(auth).encode()).decode("ascii"))
    try:
        with urllib.request.build_opener(_StayHere).open(request, timeout=timeout_s) as response:
            return Answer(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return Answer(None, str(reason) or type(error).__name__)
