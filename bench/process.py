"""Programs that measure: ours and the peers' scripts, each a process of its own."""
import json
import os
import subprocess
import sys
from importlib.metadata import version


def output(*command):
    # A server that the environment names would answer in place of the folder.
    environment = {name: value for name, value in os.environ.items() if name not in ("TAGHOUSE_SERVER", "TAGHOUSE_KEY")}
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def peer(root, script, *arguments):
    return json.loads(output(sys.executable, root / "bench" / script, *arguments))


def peer_name(package, name):
    return f"{name} {version(package)}"
