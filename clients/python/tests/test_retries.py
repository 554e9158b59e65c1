"""Calls that are tried again: failures are put between the client and the real server."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from taghouse import Problem, Retries, Taghouse
from taghouse.rest.api.runs import list_runs

Failure = Callable[[httpx.Request], httpx.Response]


class Flaky(httpx.BaseTransport):
    """Fails as told, one failure a request, then passes requests on."""

    def __init__(self, *failures: Failure) -> None:
        self.failures = list(failures)
        self.requests = 0
        self.inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if self.failures:
            return self.failures.pop(0)(request)
        return self.inner.handle_request(request)

    def then_breaks(self, request: httpx.Request) -> httpx.Response:
        """The server gets the request, and its answer is lost."""
        request.read()
        answer = self.inner.handle_request(request)
        answer.read()
        raise httpx.ReadError("the connection broke", request=request)


def refusal(status: int, retry_after: str | None) -> Failure:
    headers = {} if retry_after is None else {"Retry-After": retry_after}

    def refuse(request: httpx.Request) -> httpx.Response:
        code = "too_many_requests" if status == 429 else "unavailable"
        return httpx.Response(status, headers=headers, json={"type": code, "status": status, "detail": "busy"})

    return refuse


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


QUICK = Retries(attempts=3, pause_seconds=0.01, longest_pause_seconds=2)


def test_what_the_server_cannot_take_now_is_sent_again(shop: Taghouse, url: str, key: Callable[[str], str]) -> None:
    flaky = Flaky(refusal(429, "1"), unreachable)
    with Taghouse(url, key("viewer"), "clients", retries=QUICK, transport=flaky) as viewer:
        began = time.monotonic()
        assert viewer.count('plan == "pro"') == 1
        assert time.monotonic() - began >= 1, "Retry-After is waited for"
    assert flaky.requests == 3


def test_after_some_attempts_the_refusal_is_raised(shop: Taghouse, url: str, key: Callable[[str], str]) -> None:
    flaky = Flaky(*[refusal(503, "0")] * 3)
    with Taghouse(url, key("viewer"), "clients", retries=QUICK, transport=flaky) as viewer:
        with pytest.raises(Problem) as refused:
            viewer.count("orders >= 1")
        assert (refused.value.code, refused.value.retry_after) == ("unavailable", 0)
    assert flaky.requests == 3


def test_a_wait_that_is_too_long_is_left_to_the_caller(shop: Taghouse, url: str, key: Callable[[str], str]) -> None:
    flaky = Flaky(refusal(429, "3600"))
    with Taghouse(url, key("viewer"), "clients", retries=QUICK, transport=flaky) as viewer:
        with pytest.raises(Problem) as refused:
            viewer.count("orders >= 1")
        assert refused.value.retry_after == 3600
    assert flaky.requests == 1


def test_an_event_whose_answer_was_lost_counts_once(shop: Taghouse, url: str, key: Callable[[str], str]) -> None:
    flaky = Flaky()
    flaky.failures = [flaky.then_breaks, flaky.then_breaks]
    with Taghouse(url, key("write"), retries=QUICK, transport=flaky) as site:
        site.track("once", "order", {"amount": "1.00"})
    assert flaky.requests == 3
    shop.produce()
    assert shop.profile("once")["orders"] == 1


def productions(shop: Taghouse) -> list[str]:
    """The ids of the app's productions, from newest to oldest."""
    return [run.id for run in list_runs.sync("clients", client=shop.rest).runs if run.kind == "produce"]


def test_what_may_not_be_done_twice_is_not(shop: Taghouse, url: str, key: Callable[[str], str]) -> None:
    flaky = Flaky()
    flaky.failures = [flaky.then_breaks]
    editor = Taghouse(url, key("editor"), "clients", retries=QUICK, transport=flaky)
    before = len(productions(shop))
    with editor, pytest.raises(httpx.ReadError):
        editor.produce()
    assert flaky.requests == 1
    begun = productions(shop)[:-before]
    assert len(begun) == 1, "it goes on, although its answer was lost"
    shop.wait(begun[0])


def test_a_file_is_sent_from_its_beginning_again(
    shop: Taghouse, url: str, key: Callable[[str], str], tmp_path: Path
) -> None:
    def half(request: httpx.Request) -> httpx.Response:
        assert next(iter(request.stream))  # type: ignore[arg-type]
        return refusal(503, "0")(request)

    file = tmp_path / "cities.csv"
    file.write_text("user,city\n" + "".join(f"city-{number},Ulm\n" for number in range(1_000)))
    flaky = Flaky()
    with Taghouse(url, key("editor"), "clients", retries=QUICK, transport=flaky) as editor:
        passed = flaky.handle_request

        def fail_the_file_once(request: httpx.Request) -> httpx.Response:
            if request.method == "PUT" and not flaky.failures and not sent:
                sent.append(request)
                return half(request)
            return passed(request)

        sent: list[httpx.Request] = []
        flaky.handle_request = fail_the_file_once  # type: ignore[method-assign]
        assert editor.ingest("people", file).state == "succeeded"
        assert len(sent) == 1
        editor.produce(tags=["city"])
        assert editor.count('city == "Ulm"') == 1_000


def test_an_answer_that_is_not_of_taghouse_is_still_a_problem() -> None:
    def proxy(request: httpx.Request) -> httpx.Response:
        return httpx.Response(502, text="<h1>Bad Gateway</h1>")

    with Taghouse("http://127.0.0.1:9", "k", "clients", transport=httpx.MockTransport(proxy)) as house:
        with pytest.raises(Problem, match="Bad Gateway") as refused:
            house.count("orders >= 1")
        assert refused.value.code == "not_taghouse"
