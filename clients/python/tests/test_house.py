"""What most programs need, against the real server."""

import asyncio
import datetime
import decimal
from collections.abc import Callable
from pathlib import Path

import pytest

from taghouse import Problem, RunFailed, Taghouse
from taghouse.rest.api.crowds import get_crowd
from taghouse.rest.api.questions import count_users
from taghouse.rest.api.tags import list_tags
from taghouse.rest.models import CountRequest


def test_definitions_are_applied_from_files_and_folders(house: Taghouse, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    crowd = "{kind: crowd, name: big, expression: 'orders >= 2'}"
    (tmp_path / "more" / "crowds.yaml").write_text(crowd)
    tried = house.apply(tmp_path, dry_run=True)
    assert not tried.applied
    assert [(change.name, change.action) for change in tried.changes] == [("big", "create")]
    assert house.apply(tmp_path / "more" / "crowds.yaml").applied
    assert house.apply(tmp_path).changes[0].action == "unchanged"


def test_mistakes_in_definitions_are_named_with_their_places(house: Taghouse) -> None:
    with pytest.raises(Problem) as refused:
        house.apply_text("kind: crowd\nname: bad\nexpression: 'ordrs < 1'\n")
    problem = refused.value
    assert (problem.status, problem.code) == (400, "invalid")
    assert [(place.path, place.line) for place in problem.places] == [("definitions.yaml", 3)]
    assert "did you mean `orders`?" in problem.places[0].message


def test_events_and_files_become_tags(shop: Taghouse) -> None:
    assert shop.profile("ann") == {
        "orders": 2,
        "spent": "10.00",
        "plan": "pro",
        "colours": ["blue", "red"],
        "city": "Kiel",
    }
    assert shop.profile("ann", ["plan", "city"]) == {"plan": "pro", "city": "Kiel"}
    assert shop.count("orders >= 2") == 1
    assert shop.count({"compare": {"name": "plan", "op": "==", "literal": "free"}}) == 1


def test_judgments(shop: Taghouse, url: str, key: Callable[[str], str]) -> None:
    with Taghouse(url, key("judge"), "clients") as judge:
        judged = judge.judge("ann", "pros")
        assert (judged.in_crowd, judged.version, judged.reason) == (True, 1, None)
        assert judge.judge("nobody", "pros").reason == "unknown_user"
        many = judge.judge_many(["ann", "ben"], ["pros"], {"buys": "orders >= 1"})
        assert [each.crowds["pros"] for each in many.judgments] == [True, False]
        assert [dict(each.expressions.additional_properties) for each in many.judgments if each.expressions] == [
            {"buys": True},
            {"buys": False},
        ]


def test_a_judgment_holds_what_was_acknowledged(shop: Taghouse, site: Taghouse) -> None:
    for number in range(5):
        user = f"watcher-{number}"
        sent = site.track(user, "seen")
        assert sent.position is not None
        judged = shop.judge(user, "watchers", at_least=sent.position, wait_ms=10_000)
        assert judged.in_crowd and judged.live, number


def test_values_changed_by_hand(shop: Taghouse) -> None:
    shop.change("hand", {"plan": "pro", "orders": 7, "spent": "1.25", "colours": ["red"]}, create=True)
    deadline = datetime.datetime.now() + datetime.timedelta(seconds=20)
    expected = {"plan": "pro", "orders": 7, "spent": "1.25", "colours": ["red"]}
    while shop.profile("hand") != expected:
        assert datetime.datetime.now() < deadline, shop.profile("hand")
    receipt = shop.delete("hand")
    assert receipt.users == ["hand"]
    with pytest.raises(Problem, match='there is no user "hand"') as gone:
        shop.profile("hand")
    assert gone.value.code == "not_found"


def test_members_come_back_as_ids_and_files(shop: Taghouse, tmp_path: Path) -> None:
    assert list(shop.members("pros")) == ["ann"]
    assert shop.export("pros", tmp_path / "pros.csv").read_text() == "user_id\nann\n"
    assert shop.export("pros", tmp_path / "pros.parquet", "parquet").read_bytes()[:4] == b"PAR1"
    with pytest.raises(Problem, match="did you mean `pros`"):
        shop.export("prs", tmp_path / "prs.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pros.csv", "pros.parquet"]


def test_a_crowd_is_imported(shop: Taghouse, tmp_path: Path) -> None:
    report = shop.import_crowd("club", ["ann", "ben", "ann", 'no"body', "a,b"], batch="first")
    assert (report.rows, report.matched, report.duplicates, report.unknown) == (5, 2, 1, 2)
    assert shop.import_crowd("club", ["eve"], batch="first").repeated
    file = tmp_path / "joined.csv"
    file.write_text("Member;City\neve;Bonn\n")
    assert shop.import_crowd("club", file, mode="append", column="Member").size == 3
    assert sorted(shop.members("club")) == ["ann", "ben", "eve"]
    assert get_crowd.sync("clients", "club", client=shop.rest).size == 3


def test_runs_that_fail_say_why(shop: Taghouse) -> None:
    with pytest.raises(RunFailed, match="club") as failed:
        shop.import_crowd("club", ["nobody"])
    assert failed.value.run.state == "failed"
    assert sorted(shop.members("club")) == ["ann", "ben", "eve"]


def test_what_is_wrong_with_a_call_is_told(shop: Taghouse) -> None:
    with pytest.raises(Problem) as refused:
        shop.count("order >= 1")
    assert refused.value.code == "invalid" and "did you mean `orders`?" in refused.value.detail
    with pytest.raises(ValueError, match="name the app"):
        Taghouse("http://127.0.0.1:1", "k").count("orders >= 1")
    with pytest.raises(ValueError, match="http"):
        Taghouse("127.0.0.1:7700", "k")


def test_keys_are_refused(shop: Taghouse, url: str, key: Callable[[str], str]) -> None:
    with Taghouse(url, "tgh_nobody", "clients") as stranger, pytest.raises(Problem) as unknown:
        stranger.count("orders >= 1")
    assert (unknown.value.status, unknown.value.code) == (401, "unauthenticated")
    with Taghouse(url, key("judge"), "clients") as judge, pytest.raises(Problem) as denied:
        judge.produce()
    assert (denied.value.status, denied.value.code) == (403, "denied")
    assert "judge" in denied.value.detail


def test_invalid_calls_of_a_batch_are_named(site: Taghouse) -> None:
    sent = site.send(
        [
            {"type": "track", "userId": "ben", "event": "visit"},
            {"type": "track", "event": "visit", "messageId": "nobody's"},
        ]
    )
    assert [(each.reason, each.call["messageId"]) for each in sent.rejected] == [("no_user_id", "nobody's")]
    assert sent.position is not None


def test_many_events_in_few_requests(shop: Taghouse, site: Taghouse) -> None:
    now = datetime.datetime.now(datetime.UTC)
    sent = site.send(
        {
            "type": "track",
            "userId": f"many-{number % 10}",
            "event": "order",
            "properties": {"amount": decimal.Decimal("0.10"), "at": now},
        }
        for number in range(1_000)
    )
    assert not sent.rejected
    shop.produce()
    assert shop.count("orders == 100 && spent == 10") == 10


def test_every_operation_is_there_for_coroutines(shop: Taghouse) -> None:
    async def ask() -> tuple[int, int]:
        counts, tags = await asyncio.gather(
            count_users.asyncio(
                "clients", client=shop.rest, body=CountRequest.from_dict({"expression": "plan is set"})
            ),
            list_tags.asyncio("clients", client=shop.rest),
        )
        with pytest.raises(Problem, match="no app"):
            await list_tags.asyncio("nowhere", client=shop.rest)
        return counts.count, len(tags.tags)

    assert asyncio.run(ask()) == (2, 6)
