"""Events and traits on their way in, as Segment's tracking API names them."""

import datetime
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

#: Of one request; the server takes 500 KiB.
BATCH_CALLS = 250
BATCH_BYTES = 400_000


class Call(TypedDict, total=False):
    """One call. A user is named by `userId`, `anonymousId` or both."""

    type: Literal["track", "identify", "page", "screen", "group", "alias"]
    userId: str
    anonymousId: str
    previousId: str
    groupId: str
    event: str
    name: str
    properties: Mapping[str, Any]
    traits: Mapping[str, Any]
    #: ISO 8601. Default: now.
    timestamp: str
    #: It counts once, however often it is sent. Default: a new one, kept while the call is tried again.
    messageId: str


@dataclass(frozen=True)
class Rejected:
    """A call that the server refused as invalid; the others of its batch were taken."""

    call: Call
    #: Its class, as in the table `rejected_events`.
    reason: str
    detail: str


@dataclass(frozen=True)
class Sent:
    """Calls that are durable now."""

    #: The last one's place in the log: `at_least` of a judgment. None: nothing was taken.
    position: int | None
    rejected: tuple[Rejected, ...]


def identified(call: Call) -> Call:
    """The call with an id and a time, so that it means the same whenever it arrives."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return {"messageId": str(uuid.uuid4()), "timestamp": now, **call}


def batches(calls: Iterable[tuple[Call, bytes]]) -> Iterable[list[tuple[Call, bytes]]]:
    """Calls and their JSON in groups that one request takes."""
    group: list[tuple[Call, bytes]] = []
    size = 0
    for call, encoded in calls:
        if group and (len(group) == BATCH_CALLS or size + len(encoded) > BATCH_BYTES):
            yield group
            group, size = [], 0
        group.append((call, encoded))
        size += len(encoded) + 1
    if group:
        yield group
