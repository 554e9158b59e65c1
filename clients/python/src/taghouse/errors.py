"""What goes wrong, each with a type of its own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from taghouse.rest.models import RunBody


class TaghouseError(Exception):
    """Everything that this package raises itself. What the network does stays `httpx.TransportError`."""


@dataclass(frozen=True)
class Place:
    """Where in a definition or an expression something is wrong; line and column count from 1."""

    path: str
    line: int
    column: int
    message: str


class Problem(TaghouseError):
    """The server refused a call, or failed at it (RFC 9457).

    `code` is the stable word for programs, such as `not_found` or `too_many_requests`; `detail` says to
    people what is wrong and how to fix it. `places` name each mistake of refused definitions.
    `retry_after` is in seconds, where the server said when to try again.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        places: tuple[Place, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.places = places
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.code} ({self.status}): {self.detail}"

    @classmethod
    def of(cls, answer: httpx.Response) -> "Problem":
        """The problem of an answer that was read. Some answers are not Taghouse's, but a proxy's."""
        waits = retry_after(answer)
        try:
            body: Any = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            detail = answer.text.strip()[:500] or f"{answer.reason_phrase}, without an explanation"
            return cls(answer.status_code, "not_taghouse", detail, (), waits)
        # Flags are answered in the form of OFREP.
        code = body.get("type") or str(body.get("errorCode", "not_taghouse")).lower()
        detail = body.get("detail") or body.get("errorDetails") or answer.text[:500]
        places = tuple(
            Place(place["path"], place["line"], place["column"], place["message"]) for place in body.get("errors", ())
        )
        return cls(answer.status_code, str(code), str(detail), places, waits)


class RunFailed(TaghouseError):
    """A run ended otherwise than with success. `run` tells of each task."""

    def __init__(self, run: "RunBody") -> None:
        failed = [f"{task.name}: {task.error}" for task in run.tasks if task.error]
        super().__init__(f"run {run.id} ({run.kind}) {run.state}: {'; '.join(failed) or 'no task says why'}")
        self.run = run


class FrameMissing(TaghouseError, ImportError):
    """The library of the frames that were asked for is not installed."""


def retry_after(answer: httpx.Response) -> float | None:
    """Seconds, as Taghouse gives them."""
    try:
        return max(float(answer.headers["retry-after"]), 0.0)
    except (KeyError, ValueError):
        return None
