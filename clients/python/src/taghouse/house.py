"""One app of a server."""

import datetime
import decimal
import json
import os
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import httpx

from taghouse import files, frames
from taghouse.connection import (
    REPLAYABLE,
    Retries,
    Retrying,
    RetryingAsync,
    raise_problem,
    raise_problem_async,
)
from taghouse.errors import RunFailed
from taghouse.rest import AuthenticatedClient
from taghouse.rest.api.crowds import import_crowd, refresh_crowds
from taghouse.rest.api.definitions import apply_definitions
from taghouse.rest.api.ingest import begin_upload, start_ingestion
from taghouse.rest.api.judgments import get_profile, judge_user, judge_users
from taghouse.rest.api.questions import count_users
from taghouse.rest.api.runs import get_run
from taghouse.rest.api.tags import start_production
from taghouse.rest.api.users import change_tags, delete_user
from taghouse.rest.models import (
    ApplyRequest,
    ChangeBody,
    ChangesRequest,
    CountRequest,
    FileBody,
    ImportMode,
    ImportReport,
    ImportRequest,
    IngestRequest,
    JudgeRequest,
    JudgeRequestExpressions,
    JudgmentBody,
    JudgmentsAnswer,
    Plan,
    ProduceRequest,
    ReceiptBody,
    RefreshRequest,
    RunBody,
)
from taghouse.rest.types import UNSET
from taghouse.tracking import Call, Rejected, Sent, batches, identified
from taghouse.values import Value

if TYPE_CHECKING:
    import pandas
    import polars

#: Expressions are texts, or the same as JSON.
Expression = str | Mapping[str, Any]

#: How long the server holds a question for a run that has not ended.
_LONGEST_WAIT_MS = 20_000
_POSITION = "taghouse-position"


class Taghouse:
    """An app of a server, with a key.

    Every method raises `Problem` where the server refuses the call, and `httpx.TransportError` where there
    is no answer. It may be used from several threads. Close it, or use it in a `with`.
    """

    def __init__(
        self,
        url: str,
        key: str,
        app: str | None = None,
        *,
        retries: Retries | None = None,
        timeout_seconds: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Opens no connection yet.

        url: where the server answers, such as `http://127.0.0.1:7700`.
        app: may be left out with a write key, which tells it.
        transport: how requests are sent, for proxies and certificates of your own.
        """
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"the server's url begins with http:// or https://, not as {url!r}")
        self._named_app = app
        self._wait_ms = min(_LONGEST_WAIT_MS, int(timeout_seconds * 500))
        how = retries or Retries()
        headers = {"Authorization": f"Bearer {key}"}
        #: For operations of `taghouse.rest.api`; it tries again and raises like the methods here.
        self.rest = AuthenticatedClient(base_url=url.rstrip("/"), token=key)
        self._http = httpx.Client(
            base_url=url.rstrip("/"),
            headers=headers,
            timeout=timeout_seconds,
            transport=Retrying(transport or httpx.HTTPTransport(), how),
            event_hooks={"response": [raise_problem]},
        )
        self.rest.set_httpx_client(self._http)
        self.rest.set_async_httpx_client(
            httpx.AsyncClient(
                base_url=url.rstrip("/"),
                headers=headers,
                timeout=timeout_seconds,
                transport=RetryingAsync(httpx.AsyncHTTPTransport(), how),
                event_hooks={"response": [raise_problem_async]},
            )
        )

    @property
    def app(self) -> str:
        """The app that calls are for."""
        if self._named_app is None:
            raise ValueError('name the app that this call is for: Taghouse(url, key, "shop")')
        return self._named_app

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Definitions

    def apply(self, *paths: str | os.PathLike[str], prune: bool = False, dry_run: bool = False) -> Plan:
        """Applies YAML files and those of folders, all or none."""
        return self._apply(files.definitions(paths), prune, dry_run)

    def apply_text(self, text: str, *, prune: bool = False, dry_run: bool = False) -> Plan:
        """The same with a text of YAML."""
        return self._apply([("definitions.yaml", text)], prune, dry_run)

    def _apply(self, named: list[tuple[str, str]], prune: bool, dry_run: bool) -> Plan:
        bodies = [FileBody(path=path, text=text) for path, text in named]
        request = ApplyRequest(files=bodies, prune=prune, dry_run=dry_run)
        return apply_definitions.sync(self.app, client=self.rest, body=request)

    # Data in

    def track(
        self,
        user: str,
        event: str,
        properties: Mapping[str, Any] | None = None,
        *,
        timestamp: datetime.datetime | str | None = None,
        message_id: str | None = None,
    ) -> Sent:
        """Sends an event. It is durable when this returns."""
        call: Call = {"type": "track", "userId": user, "event": event, "properties": properties or {}}
        return self._send_one(call, timestamp, message_id)

    def identify(
        self,
        user: str,
        traits: Mapping[str, Any],
        *,
        anonymous_id: str | None = None,
        timestamp: datetime.datetime | str | None = None,
        message_id: str | None = None,
    ) -> Sent:
        """Sends attributes of a user."""
        call: Call = {"type": "identify", "userId": user, "traits": traits}
        if anonymous_id is not None:
            call["anonymousId"] = anonymous_id
        return self._send_one(call, timestamp, message_id)

    def _send_one(self, call: Call, timestamp: datetime.datetime | str | None, message_id: str | None) -> Sent:
        if timestamp is not None:
            call["timestamp"] = timestamp if isinstance(timestamp, str) else timestamp.isoformat()
        if message_id is not None:
            call["messageId"] = message_id
        return self.send([call])

    def send(self, calls: Iterable[Call]) -> Sent:
        """Sends calls of the tracking API, in as few requests as take them, with a key of role `write`.

        Invalid calls are named in what is returned; all others were taken. Where a request fails, those
        before it were taken: send all of them again, with the same `messageId`s, and each counts once.
        """
        position: int | None = None
        rejected: list[Rejected] = []
        for group in batches((call, _encoded(call)) for call in map(identified, calls)):
            body = b'{"batch":[' + b",".join(encoded for _, encoded in group) + b"]}"
            answer = self._http.post("/v1/batch", content=body, headers=_JSON)
            if _POSITION in answer.headers:
                position = int(answer.headers[_POSITION])
            for refused in answer.json().get("rejected", ()):
                call = group[refused["index"]][0]
                rejected.append(Rejected(call, refused["reason"], refused["detail"]))
        return Sent(position, tuple(rejected))

    def ingest(
        self,
        source: str,
        *paths: str | os.PathLike[str],
        replace: bool = False,
        allow_rejects: bool = False,
    ) -> RunBody:
        """Sends files and ingests them into a source; returns when that has ended."""
        upload = self._upload({Path(path).name: Path(path) for path in paths})
        request = IngestRequest(source=source, upload=upload, replace=replace, allow_rejects=allow_rejects)
        return self.wait(start_ingestion.sync(self.app, client=self.rest, body=request))

    def _upload(self, named: Mapping[str, Path | bytes]) -> str:
        upload = begin_upload.sync(self.app, client=self.rest).id
        app = urllib.parse.quote(self.app, safe="")
        for name, file in named.items():
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(files.file_size(file)),
            }
            place = f"/api/v1/apps/{app}/uploads/{upload}/files"
            self._http.put(
                place,
                params={"name": name},
                content=files.Content(file),
                headers=headers,
                extensions={REPLAYABLE: True},
            )
        return upload

    # Runs

    def produce(self, as_of: datetime.datetime | str | None = None, tags: Sequence[str] | None = None) -> RunBody:
        """Computes tags and the crowds of them; returns when that has ended. Default: all, as of now."""
        when = as_of.isoformat() if isinstance(as_of, datetime.datetime) else as_of
        request = ProduceRequest(as_of=when, tags=list(tags) if tags is not None else None)
        return self.wait(start_production.sync(self.app, client=self.rest, body=request))

    def refresh(self, *crowds: str, dependents: bool = False) -> RunBody:
        """Computes crowds of the values of now; returns when that has ended."""
        request = RefreshRequest(crowds=list(crowds), dependents=dependents)
        return self.wait(refresh_crowds.sync(self.app, client=self.rest, body=request))

    def wait(self, run: RunBody | str, *, timeout_seconds: float | None = None) -> RunBody:
        """The run once it has ended well. `RunFailed`: it ended otherwise. `TimeoutError`: it has not ended."""
        id_ = run if isinstance(run, str) else run.id
        ends = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            left = self._wait_ms if ends is None else int((ends - time.monotonic()) * 1000)
            wait_ms = max(min(left, self._wait_ms), 0)
            found = get_run.sync(self.app, id_, client=self.rest, wait_ms=wait_ms)
            if found.state in ("succeeded", "succeeded_with_warnings"):
                return found
            if found.state not in ("pending", "running"):
                raise RunFailed(found)
            if ends is not None and time.monotonic() >= ends:
                raise TimeoutError(f"run {id_} is {found.state} after {timeout_seconds} s")

    # Questions

    def count(self, expression: Expression) -> int:
        """How many users match."""
        request = CountRequest.from_dict({"expression": expression})
        return count_users.sync(self.app, client=self.rest, body=request).count

    def judge(self, user: str, crowd: str, *, at_least: int | None = None, wait_ms: int | None = None) -> JudgmentBody:
        """Whether a user is in a crowd.

        at_least: of a live crowd, the answer holds what was written at this position, as writes return it.
        """
        return judge_user.sync(
            self.app,
            client=self.rest,
            user=user,
            crowd=crowd,
            at_least=UNSET if at_least is None else at_least,
            wait_ms=UNSET if wait_ms is None else wait_ms,
        )

    def judge_many(
        self,
        users: Sequence[str],
        crowds: Sequence[str] = (),
        expressions: Mapping[str, Expression] | None = None,
        *,
        at_least: int | None = None,
        wait_ms: int | None = None,
    ) -> JudgmentsAnswer:
        """Many users, crowds and expressions in one answer, each crowd of one version."""
        request = JudgeRequest(
            users=list(users),
            crowds=list(crowds),
            expressions=JudgeRequestExpressions.from_dict(expressions or {}),
            at_least=at_least,
            wait_ms=wait_ms,
        )
        return judge_users.sync(self.app, client=self.rest, body=request)

    def profile(self, user: str, tags: Sequence[str] | None = None) -> dict[str, Value]:
        """The tag values of a user; what has no value is absent."""
        wanted = UNSET if tags is None else ",".join(tags)
        answer = get_profile.sync(self.app, client=self.rest, user=user, tags=wanted)
        return dict(answer.tags.additional_properties)

    # Users

    def change(self, user: str, values: Mapping[str, Value | None], *, create: bool = False) -> int | None:
        """Sets values by hand, all or none; `None` removes one. Returns the position in the log, for `at_least`."""
        changes = [ChangeBody(user=user, tag=tag, set_=value) for tag, value in values.items()]
        request = ChangesRequest(changes=changes, create=create)
        return change_tags.sync(self.app, client=self.rest, body=request).log_position

    def delete(self, user: str) -> ReceiptBody:
        """Deletes a user from tags and crowds, with a receipt."""
        return delete_user.sync(self.app, user, client=self.rest)

    # Crowds

    def import_crowd(
        self,
        crowd: str,
        ids: Iterable[str] | Path,
        *,
        mode: Literal["replace", "append", "remove"] = "replace",
        batch: str | None = None,
        column: str | None = None,
    ) -> ImportReport:
        """Imports a file, as a `Path`, or ids into a crowd, and waits for it. A `batch` is imported once."""
        if isinstance(ids, str):
            raise TypeError("ids is one text: give a list of ids, or a Path to a file")
        file: Path | bytes = ids if isinstance(ids, Path) else files.ids_as_csv(ids)
        upload = self._upload({ids.name if isinstance(ids, Path) else "ids.csv": file})
        request = ImportRequest(upload=upload, mode=ImportMode(mode), batch=batch, column=column)
        run = self.wait(import_crowd.sync(self.app, crowd, client=self.rest, body=request))
        reports = [task.result for task in run.tasks if isinstance(task.result, ImportReport)]
        return reports[0]

    def members(self, crowd: str, *, version: int | None = None) -> Iterator[str]:
        """The ids of a crowd's members, as they come in."""
        with self._export(crowd, "jsonl", version) as answer:
            yield from files.ids_of_lines(answer.iter_lines())

    def export(
        self,
        crowd: str,
        path: str | os.PathLike[str],
        format: Literal["csv", "jsonl", "parquet", "roaring"] = "csv",
        *,
        version: int | None = None,
    ) -> Path:
        """Writes a crowd's members to a file, which is there when all of it is."""
        target = Path(path)
        part = target.with_name(f"{target.name}.part")
        try:
            with self._export(crowd, format, version) as answer, part.open("wb") as file:
                for piece in answer.iter_bytes():
                    file.write(piece)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    @overload
    def members_frame(
        self, crowd: str, library: Literal["pandas"] = "pandas", *, version: int | None = None
    ) -> "pandas.DataFrame": ...
    @overload
    def members_frame(
        self, crowd: str, library: Literal["polars"], *, version: int | None = None
    ) -> "polars.DataFrame": ...
    def members_frame(
        self, crowd: str, library: frames.Library = "pandas", *, version: int | None = None
    ) -> "pandas.DataFrame | polars.DataFrame":
        """A crowd's members as a frame with the column `user_id`."""
        with self._export(crowd, "parquet", version) as answer:
            return frames.of_parquet(answer.read(), library)

    @overload
    def profile_frame(
        self,
        users: Iterable[str],
        tags: Sequence[str] | None = None,
        library: Literal["pandas"] = "pandas",
        *,
        at_once: int = 8,
    ) -> "pandas.DataFrame": ...
    @overload
    def profile_frame(
        self,
        users: Iterable[str],
        tags: Sequence[str] | None = None,
        *,
        library: Literal["polars"],
        at_once: int = 8,
    ) -> "polars.DataFrame": ...
    def profile_frame(
        self,
        users: Iterable[str],
        tags: Sequence[str] | None = None,
        library: frames.Library = "pandas",
        *,
        at_once: int = 8,
    ) -> "pandas.DataFrame | polars.DataFrame":
        """Tag values of users as a frame: a row for each user, a column for each tag.

        It asks for one user after the other, `at_once` at a time: for thousands of users, not for millions.
        For those read the table `users_wide` of the lake.
        """
        frames.library(library)
        wanted = list(users)
        with ThreadPoolExecutor(max_workers=at_once) as threads:
            profiles = list(threads.map(lambda user: self.profile(user, tags), wanted))
        return frames.of_profiles(wanted, profiles, tags, library)

    def _export(self, crowd: str, format: str, version: int | None) -> Any:
        app, name = (urllib.parse.quote(text, safe="") for text in (self.app, crowd))
        params: dict[str, str | int] = {"format": format}
        if version is not None:
            params["version"] = version
        return self._http.stream("GET", f"/api/v1/apps/{app}/crowds/{name}/export", params=params)


_JSON = {"Content-Type": "application/json"}


def _encoded(call: Call) -> bytes:
    return json.dumps(call, default=_as_json, separators=(",", ":"), allow_nan=False).encode()


def _as_json(value: object) -> object:
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, set | frozenset | Mapping):
        return sorted(value) if isinstance(value, set | frozenset) else dict(value)
    raise TypeError(f"{value!r} is no value of an event: it is a {type(value).__name__}")
