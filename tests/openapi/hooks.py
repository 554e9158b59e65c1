"""What schemathesis must not do to the server that it calls: take away what the later calls need."""

import os

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    name = case.operation.definition.raw.get("operationId")
    # Definitions that were made up, or none with `prune`, would leave an app without tags and crowds to ask about.
    if name == "apply_definitions" and isinstance(case.body, dict) and case.body.get("dry_run", False) is False:
        case.body["dry_run"] = True
    # An answer without an end is not waited for.
    if name == "follow_changes" and str((case.query or {}).get("follow", True)).lower() == "true":
        case.query = {**(case.query or {}), "follow": "false"}
    if name == "follow_flags" and str((case.query or {}).get("limit", 1)).isdecimal() and int((case.query or {}).get("limit", 1)) > 0:
        case.query = {**(case.query or {}), "limit": 1}
    # The key that it calls with, found in the list of keys.
    if name in ("revoke_key", "rotate_key") and case.path_parameters.get("id") == os.environ["OWN_KEY_ID"]:
        case.path_parameters["id"] = "none"
