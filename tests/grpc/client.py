"""Judgments over gRPC at TARGET (host:port), by gRPC's own client for Python, made of the .proto file PROTO by protoc."""

import importlib
import os
import pathlib
import sys
import tempfile

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc

TARGET, KEY, WRITE_KEY, ALL_KEY = (os.environ[name] for name in ("TARGET", "KEY", "WRITE_KEY", "ALL_KEY"))
POSITION = int(os.environ["POSITION"])

root = pathlib.Path(os.environ["PROTO"])
made = tempfile.mkdtemp()
assert protoc.main(["protoc", f"-I{root}", f"--python_out={made}", f"--grpc_python_out={made}", "taghouse/v1/judgment.proto"]) == 0
sys.path.insert(0, made)
v1 = importlib.import_module("taghouse.v1.judgment_pb2")
services = importlib.import_module("taghouse.v1.judgment_pb2_grpc")

channel = grpc.insecure_channel(TARGET)
judgment = services.JudgmentStub(channel)
key = (("authorization", f"Bearer {KEY}"),)


def is_set(packed, place):
    return packed[place // 8] >> (place % 8) & 1 == 1


def refused(code, words, call, request, metadata=key, **more):
    try:
        answer = call(request, metadata=metadata, **more)
    except grpc.RpcError as error:
        assert error.code() == code and words in error.details(), (error.code(), error.details(), words)
    else:
        raise AssertionError(f"{request} is answered: {answer}")


# One user.
ann = judgment.Judge(v1.JudgeRequest(app="t", user="ann", crowds=["buyers", "pros"]), metadata=key)
assert [(of.crowd.name, of.in_crowd, of.crowd.version, of.crowd.live) for of in ann.judgments] == [("buyers", True, 0, True), ("pros", True, 1, False)], ann
assert ann.judgments[1].crowd.as_of_ms > 1_700_000_000_000 and ann.judgments[0].crowd.HasField("as_of_ms"), ann
assert not ann.unknown_user and ann.age_ms < 60_000 and not ann.HasField("position"), ann
nobody = judgment.Judge(v1.JudgeRequest(user="nobody", crowds=["pros"]), metadata=(("x-api-key", KEY),))
assert nobody.unknown_user and not nobody.judgments[0].in_crowd, nobody
held = judgment.Judge(v1.JudgeRequest(user="ann", crowds=["buyers"], at_least=v1.AtLeast(position=POSITION, wait_ms=5000)), metadata=key)
assert held.position >= POSITION and held.judgments[0].in_crowd, held

# Many.
users, crowds = ["ann", "bob", "cid", "nobody"], ["buyers", "pros", "visitors"]
many = judgment.JudgeMany(v1.JudgeManyRequest(users=users, crowds=crowds), metadata=key)
answers = [[is_set(many.in_crowd, row * len(crowds) + column) for column in range(len(crowds))] for row in range(len(users))]
assert answers == [[True, True, True], [True, False, False], [False, True, False], [False] * 3], answers
assert [is_set(many.unknown_user, row) for row in range(len(users))] == [False, False, False, True], many
assert [crowd.name for crowd in many.crowds] == crowds and many.crowds[1].version == 1, many

# Which crowds, and expressions.
of = judgment.CrowdsOf(v1.CrowdsOfRequest(user="cid"), metadata=key)
assert [(crowd.crowd, crowd.version) for crowd in of.crowds] == [("good", 1), ("pros", 1)] and not of.unknown_user, of
expressions = ['level >= 4 && crowd("pros")', 'orders >= 2']
matches = judgment.Evaluate(v1.EvaluateRequest(users=users, expressions=expressions), metadata=key)
assert [is_set(matches.matches, place) for place in range(8)] == [True, True, False, True, False, False, False, False], matches
assert matches.revision >= 1, matches

# What is wrong is said.
Code = grpc.StatusCode
pros = v1.JudgeRequest(user="ann", crowds=["pros"])
refused(Code.UNAUTHENTICATED, "no key", judgment.Judge, pros, metadata=())
refused(Code.UNAUTHENTICATED, "not known", judgment.Judge, pros, metadata=(("authorization", "Bearer tgh_none"),))
refused(Code.PERMISSION_DENIED, "role write", judgment.Judge, pros, metadata=(("authorization", f"Bearer {WRITE_KEY}"),))
refused(Code.PERMISSION_DENIED, "another app", judgment.Judge, v1.JudgeRequest(app="other", user="ann", crowds=["pros"]))
refused(Code.NOT_FOUND, "did you mean `pros`?", judgment.Judge, v1.JudgeRequest(user="ann", crowds=["pro"]))
refused(Code.INVALID_ARGUMENT, "name one in `app`", judgment.Judge, pros, metadata=(("authorization", f"Bearer {ALL_KEY}"),))
refused(Code.INVALID_ARGUMENT, "1001", judgment.JudgeMany, v1.JudgeManyRequest(users=["u"] * 1001, crowds=["pros"]))
refused(Code.INVALID_ARGUMENT, "101", judgment.Judge, v1.JudgeRequest(user="ann", crowds=["pros"] * 101))
refused(Code.INVALID_ARGUMENT, "number 2", judgment.Evaluate, v1.EvaluateRequest(users=["ann"], expressions=["level >= 1", "level >="]))
refused(Code.INVALID_ARGUMENT, "`pros`", judgment.Judge, v1.JudgeRequest(user="ann", crowds=["pros"], at_least=v1.AtLeast(position=1)))
# What was never given cannot be waited for.
never = v1.JudgeRequest(user="ann", crowds=["buyers"], at_least=v1.AtLeast(position=10**9))
refused(Code.INVALID_ARGUMENT, "1000000000", judgment.Judge, never)

# Health and reflection need no key.
health = health_pb2_grpc.HealthStub(channel)
for service in ("", "taghouse.v1.Judgment"):
    assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == health_pb2.HealthCheckResponse.SERVING, service
assert next(iter(health.Watch(health_pb2.HealthCheckRequest()))).status == health_pb2.HealthCheckResponse.SERVING
refused(Code.NOT_FOUND, "none", health.Check, health_pb2.HealthCheckRequest(service="none"))
described = ProtoReflectionDescriptorDatabase(channel)
assert {"taghouse.v1.Judgment", "grpc.health.v1.Health"} <= set(described.get_services()), described.get_services()
described = described.FindFileContainingSymbol("taghouse.v1.Judgment")
assert [method.name for method in described.service[0].method] == ["Judge", "JudgeMany", "CrowdsOf", "Evaluate"], described

# A service and a method that there are not.
for path in ("/taghouse.v1.Judgment/None", "/taghouse.v2.Judgment/Judge"):
    refused(Code.UNIMPLEMENTED, "", channel.unary_unary(path, v1.JudgeRequest.SerializeToString, v1.JudgeResponse.FromString), pros)
channel.close()
