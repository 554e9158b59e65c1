"""Client of Taghouse.

`Taghouse` has what most programs need. `taghouse.rest` has every operation of the API, generated from
its OpenAPI document: `taghouse.rest.api.questions.count_users.sync("shop", client=house.rest, body=…)`.
"""

from importlib.metadata import version

from taghouse.connection import Retries
from taghouse.errors import FrameMissing, Problem, RunFailed, TaghouseError
from taghouse.house import Taghouse
from taghouse.tracking import Call, Sent
from taghouse.values import Value

__all__ = [
    "Call",
    "FrameMissing",
    "Problem",
    "Retries",
    "RunFailed",
    "Sent",
    "Taghouse",
    "TaghouseError",
    "Value",
]
__version__ = version("taghouse")
