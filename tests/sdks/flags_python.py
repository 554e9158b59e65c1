"""Crowds as flags, evaluated at TARGET by openfeature-provider-ofrep, as its users do."""

import os

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

TARGET = os.environ["TARGET"]


def client(domain, **headers):
    api.set_provider(OFREPProvider(TARGET, headers_factory=lambda: headers), domain)
    return api.get_client(domain)


flags = client("bearer", Authorization=f"Bearer {os.environ['KEY']}")
ann = flags.get_boolean_details("pros", False, EvaluationContext("ann", {"plan": "passed over"}))
assert (ann.value, ann.reason, ann.variant, ann.error_code) == (True, Reason.TARGETING_MATCH, "in", None), ann
assert ann.flag_metadata["version"] == 1 and ann.flag_metadata["live"] is False and "asOf" in ann.flag_metadata, ann
bob = flags.get_boolean_details("pros", True, EvaluationContext("bob"))
assert (bob.value, bob.variant) == (False, "out"), bob
live = flags.get_boolean_details("buyers", False, EvaluationContext("bob"))
assert live.value is True and live.flag_metadata["live"] is True, live
assert flags.get_boolean_value("pros", False, EvaluationContext("a/1")) is True, "any id of the user"
# Of a crowd without a version the application's own default counts.
for default in (True, False):
    idle = flags.get_boolean_details("idle", default, EvaluationContext("ann"))
    assert (idle.value, idle.reason, idle.variant) == (default, Reason.DEFAULT, "not_computed"), idle


def failed(key, context, code, words, of=flags):
    details = of.get_boolean_details(key, True, context)
    assert details.value is True and details.reason == Reason.ERROR, details
    assert details.error_code == code and words in details.error_message, details


failed("pro", EvaluationContext("ann"), ErrorCode.FLAG_NOT_FOUND, "did you mean `pros`?")
failed("pros", None, ErrorCode.TARGETING_KEY_MISSING, "no targetingKey")
failed("pros", EvaluationContext("x" * 600), ErrorCode.INVALID_CONTEXT, "512")
failed("pros", EvaluationContext("ann"), ErrorCode.GENERAL, "unauthorized", client("none", Authorization="Bearer none"))
failed("pros", EvaluationContext("ann"), ErrorCode.GENERAL, "forbidden", client("write", Authorization=f"Bearer {os.environ['WRITE_KEY']}"))
every = {"Authorization": f"Bearer {os.environ['OTHER_KEY']}"}
failed("pros", EvaluationContext("ann"), ErrorCode.GENERAL, "Taghouse-App", client("unnamed", **every))
assert client("all", **every, **{"Taghouse-App": "t"}).get_boolean_value("pros", False, EvaluationContext("ann")) is True
