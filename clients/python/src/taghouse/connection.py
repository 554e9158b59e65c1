"""Connections that try again where that is safe, and raise what the server refuses."""

import asyncio
import random
import time
from dataclasses import dataclass

import httpx

from taghouse.errors import Problem, retry_after

#: Nothing was done: too many calls at once, or what the call needs does not answer now.
_AGAIN = (429, 503)
#: The extension of a request whose body can be read again.
REPLAYABLE = "taghouse.replayable"


@dataclass(frozen=True)
class Retries:
    """How often a call is tried again, and how long that may be waited for, in seconds.

    What the server answers with 429 or 503 is tried again after its `Retry-After`, else after
    `pause_seconds`, doubled each time, less up to half of it by chance. A connection that could not be made
    is too. One that broke after the call was sent only where the call may be made twice: GET, PUT,
    DELETE, and events, which have ids.
    """

    attempts: int = 5
    pause_seconds: float = 0.25
    longest_pause_seconds: float = 30.0

    def after_answer(self, request: httpx.Request, answer: httpx.Response, tried: int) -> float | None:
        """Seconds to wait before the next attempt; none: there is none."""
        if answer.status_code not in _AGAIN or not self._may_try(request, tried):
            return None
        asked = retry_after(answer)
        if asked is None:
            return self._pause(tried)
        return asked if asked <= self.longest_pause_seconds else None

    def after_failure(self, request: httpx.Request, failure: httpx.TransportError, tried: int) -> float | None:
        """The same, where there was no answer."""
        unsent = isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        may_be_repeated = unsent or request.method in ("GET", "PUT", "DELETE") or _has_ids(request)
        return self._pause(tried) if may_be_repeated and self._may_try(request, tried) else None

    def _may_try(self, request: httpx.Request, tried: int) -> bool:
        replayable = isinstance(request.stream, httpx.ByteStream) or REPLAYABLE in request.extensions
        return tried < self.attempts and replayable

    def _pause(self, tried: int) -> float:
        longest: float = min(self.pause_seconds * 2 ** (tried - 1), self.longest_pause_seconds)
        return longest * random.uniform(0.5, 1.0)


def _has_ids(request: httpx.Request) -> bool:
    """Calls of the tracking API, whose messages count once."""
    return request.url.path.startswith("/v1/")


class Retrying(httpx.BaseTransport):
    """Tries again as `Retries` say."""

    def __init__(self, inner: httpx.BaseTransport, retries: Retries) -> None:
        self._inner, self._retries = inner, retries

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        tried = 0
        while True:
            tried += 1
            try:
                answer = self._inner.handle_request(request)
            except httpx.TransportError as failure:
                pause = self._retries.after_failure(request, failure, tried)
                if pause is None:
                    raise
            else:
                pause = self._retries.after_answer(request, answer, tried)
                if pause is None:
                    return answer
                answer.close()
            time.sleep(pause)

    def close(self) -> None:
        self._inner.close()


class RetryingAsync(httpx.AsyncBaseTransport):
    """The same for coroutines."""

    def __init__(self, inner: httpx.AsyncBaseTransport, retries: Retries) -> None:
        self._inner, self._retries = inner, retries

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        tried = 0
        while True:
            tried += 1
            try:
                answer = await self._inner.handle_async_request(request)
            except httpx.TransportError as failure:
                pause = self._retries.after_failure(request, failure, tried)
                if pause is None:
                    raise
            else:
                pause = self._retries.after_answer(request, answer, tried)
                if pause is None:
                    return answer
                await answer.aclose()
            await asyncio.sleep(pause)

    async def aclose(self) -> None:
        await self._inner.aclose()


def raise_problem(answer: httpx.Response) -> None:
    """Raises what is not a success."""
    if answer.is_error:
        answer.read()
        raise Problem.of(answer)


async def raise_problem_async(answer: httpx.Response) -> None:
    """The same for coroutines."""
    if answer.is_error:
        await answer.aread()
        raise Problem.of(answer)
