"""A real server, which whoever runs the tests has started: TAGHOUSE_URL and TAGHOUSE_KEY of role admin."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taghouse import Taghouse
from taghouse.rest.api.keys import create_key
from taghouse.rest.models import KeyRole, NewKey

APP = "clients"
DEFINITIONS = """
kind: app
id: clients
time_zone: UTC
---
kind: source
name: site
format: segment
properties:
  amount: { column: amount, type: decimal, scale: 2 }
attributes:
  plan: plan
  colours: { column: colours, type: set }
---
kind: source
name: people
format: csv
user_id: user
attributes: { city: city }
---
{kind: tag, name: orders, type: int, aggregate: {function: count, events: [order]}}
---
{kind: tag, name: spent, type: decimal, scale: 2, aggregate: {function: sum, value: amount, events: [order]}}
---
{kind: tag, name: plan, type: enum, attribute: plan}
---
{kind: tag, name: colours, type: set, attribute: colours}
---
{kind: tag, name: city, type: enum, attribute: city}
---
{kind: tag, name: seen, type: int, mode: stream, aggregate: {function: count, events: [seen]}}
---
{kind: crowd, name: pros, expression: 'plan == "pro"'}
---
{kind: crowd, name: watchers, live: true, expression: 'seen >= 1'}
---
{kind: crowd, name: club, import: {}}
"""


@pytest.fixture(scope="session")
def url() -> str:
    return os.environ["TAGHOUSE_URL"]


@pytest.fixture(scope="session")
def house(url: str) -> Iterator[Taghouse]:
    """With the definitions applied."""
    with Taghouse(url, os.environ["TAGHOUSE_KEY"], APP) as house:
        house.apply_text(DEFINITIONS)
        yield house


@pytest.fixture(scope="session")
def key(house: Taghouse) -> Callable[[str], str]:
    """Makes a key of a role."""

    def made(role: str) -> str:
        return create_key.sync(client=house.rest, body=NewKey(role=KeyRole(role), app=APP)).secret

    return made


@pytest.fixture(scope="session")
def site(house: Taghouse, url: str, key: Callable[[str], str]) -> Iterator[Taghouse]:
    """What sends events: a key of role write, which tells the app."""
    with Taghouse(url, key("write")) as site:
        yield site


@pytest.fixture(scope="session")
def shop(house: Taghouse, site: Taghouse, tmp_path_factory: pytest.TempPathFactory) -> Taghouse:
    """ann and ben with orders and plans, eve from a file; all tags are produced."""
    site.identify("ann", {"plan": "pro", "colours": ["red", "blue"]})
    site.identify("ben", {"plan": "free"})
    for amount in ("9.95", "0.05"):
        site.track("ann", "order", {"amount": amount})
    people: Path = tmp_path_factory.mktemp("in") / "people.csv"
    people.write_text("user,city\neve,Bonn\nann,Kiel\n")
    assert house.ingest("people", people).state == "succeeded"
    assert house.produce().state == "succeeded"
    return house
