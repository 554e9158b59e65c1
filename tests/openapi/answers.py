"""Checks answers against an OpenAPI document: answers.py DOCUMENT ANSWERS

ANSWERS has a line of JSON for each: operation, status, content_type, text (of a body that is text). Each must be of a status and content type
that the operation describes, and fit the schema; objects may hold no field that is not described. Prints what is wrong and fails.
"""

import copy
import json
import sys

from jsonschema import Draft202012Validator


def closed(schema, schemas):
    """The same schema, but that fields that it does not describe are wrong."""
    if isinstance(schema, list):
        return [closed(part, schemas) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "allOf" in schema:
        parts = [schemas[part["$ref"].rsplit("/", 1)[1]] if "$ref" in part else part for part in schema["allOf"]]
        return {**schema, "allOf": copy.deepcopy(parts), "unevaluatedProperties": False}
    made = {key: closed(part, schemas) for key, part in schema.items() if key != "properties"}
    if "properties" in schema:
        made["properties"] = {name: closed(field, schemas) for name, field in schema["properties"].items()}
        made.setdefault("additionalProperties", False)
    return made


def resolved(document, answer):
    return document["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]] if "$ref" in answer else answer


def fault(document, components, operations, line):
    answers = operations[line["operation"]]["responses"]
    if str(line["status"]) not in answers:
        return "the status is not described"
    described = resolved(document, answers[str(line["status"])]).get("content", {})
    kind = line["content_type"].split(";")[0].strip()
    if not described:
        return None if not line["text"] else "a body, where none is described"
    if kind not in described:
        return f"the content type {kind!r} is none of {sorted(described)}"
    if not kind.endswith("json") or kind == "application/x-ndjson":
        return None
    schema = {**closed(described[kind]["schema"], {}), "components": components}
    errors = Draft202012Validator(schema).iter_errors(json.loads(line["text"]))
    return "; ".join(f"{error.json_path}: {error.message}" for error in errors) or None


def main(document, answers):
    with open(document, encoding="utf-8") as text:
        document = json.load(text)
    schemas = document["components"]["schemas"]
    components = {"schemas": {name: closed(schema, schemas) for name, schema in schemas.items()}}
    operations = {op["operationId"]: op for item in document["paths"].values() for op in item.values() if isinstance(op, dict)}
    checked, wrong = 0, []
    with open(answers, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            found = fault(document, components, operations, line)
            checked += 1
            if found:
                wrong.append(f"{line['operation']} {line['status']}: {found}\n  {line['text'][:500]}")
    if not checked:
        wrong.append("there is no answer to check")
    sys.exit("\n".join(wrong) or None)


main(*sys.argv[1:])
