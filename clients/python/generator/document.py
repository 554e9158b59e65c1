"""Prepares the server's OpenAPI document for the generator: document.py DOCUMENT PREPARED

Answers of failure are left out, because the connection raises them before generated code reads an answer.
Of what is not JSON the generator knows bytes only, in one form.
"""

import json
import pathlib
import sys

BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


def prepared(document: dict) -> dict:
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"] = {
                status: answer for status, answer in operation["responses"].items() if int(status) < 400
            }
            for answer in operation["responses"].values():
                content = answer.get("content")
                if content and "application/json" not in content:
                    answer["content"] = BYTES
    return document


if __name__ == "__main__":
    source, target = map(pathlib.Path, sys.argv[1:])
    target.write_text(json.dumps(prepared(json.loads(source.read_text()))))
