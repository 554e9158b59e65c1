"""Checks an OpenAPI document: description.py FILE

That it is valid OpenAPI, and what the standard does not ask for: every operation has a readable name of its own, a summary and a tag; every
parameter, field and answer says what it is; errors are described once and referenced. Prints what is wrong and fails.
"""

import json
import re
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing.exceptions import PointerToNowhere

METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
NAME = re.compile(r"[a-z]+(_[a-z]+)*")


def operations(document):
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def said(schema):
    """Whether a field says what it is, itself or in what it is made of."""
    return "description" in schema or any(said(part) for key in ("oneOf", "anyOf", "allOf") for part in schema.get(key, []))


def fields(place, schema):
    for name, field in schema.get("properties", {}).items():
        if not said(field):
            yield f"{place}.{name} has no description"
        yield from fields(f"{place}.{name}", field)
    for key in ("oneOf", "anyOf", "allOf"):
        for part in schema.get(key, []):
            yield from fields(place, part)
    if isinstance(schema.get("items"), dict):
        yield from fields(f"{place}[]", schema["items"])


def faults(document):
    if not document["openapi"].startswith("3.1."):
        yield f"it says that it is OpenAPI {document['openapi']}, not 3.1"
    try:
        yield from (f"{'/'.join(map(str, error.path))}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors())
    except PointerToNowhere as error:
        yield f"{error.ref} is referenced, but not there"
    names = {}
    for place, operation in operations(document):
        name = operation.get("operationId", "")
        if not NAME.fullmatch(name):
            yield f"{place}: \"{name}\" is not a readable operationId"
        if name in names:
            yield f"{place}: the operationId {name} is also that of {names[name]}"
        names[name] = place
        for wanted in ("summary", "tags"):
            if not operation.get(wanted):
                yield f"{place} has no {wanted}"
        for parameter in operation.get("parameters", []):
            if not parameter.get("description"):
                yield f"{place}: the parameter {parameter['name']} has no description"
        answers = operation["responses"]
        if not any(status.startswith("2") for status in answers):
            yield f"{place} has no answer of success"
        for status, answer in answers.items():
            if status[0] in "45":
                if "$ref" not in answer:
                    yield f"{place}: the error {status} is described in place, not referenced"
            elif not answer.get("description"):
                yield f"{place}: the answer {status} has no description"
        keyless = operation.get("security") == [{}]
        wanted = {"429", "500", "503"} | (set() if keyless else {"400", "401", "403", "404", "409", "413", "415"})
        yield from (f"{place}: the error {status} is not described" for status in sorted(wanted - set(answers)))
    for name, schema in document["components"]["schemas"].items():
        if "description" not in schema:
            yield f"the schema {name} has no description"
        yield from fields(name, schema)


def main(file):
    with open(file, encoding="utf-8") as text:
        found = list(faults(json.load(text)))
    sys.exit("\n".join(found) or None)


main(*sys.argv[1:])
