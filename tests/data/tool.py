"""What the tests on real data share: where the data is, TAP lines, the tool run with --json."""

import array
import json
import os
import subprocess
import sys

DATA = os.environ.get("TDSNN_SHARED_DATA", "../shared/data")

number = 0


def ok(passed, sentence):
    global number
    number += 1
    print(f"{'ok' if passed else 'not ok'} {number} - {sentence}", flush=True)


def end():
    print(f"1..{number}")


def floats(path):
    """The values of an .npy file of little-endian float32."""
    with open(path, "rb") as file:
        head = file.read(10)
        description = file.read(int.from_bytes(head[8:10], "little"))
        assert head[:7] == b"\x93NUMPY\x01" and b"'<f4'" in description, f"{path}: no float32"
        return list(array.array("f", file.read()))


def tdsnn(*arguments):
    """Exit code and JSON document ({} without one) of the tool named on the command line."""
    run = subprocess.run([sys.argv[1], *arguments, "--json", "--quiet"], stdout=subprocess.PIPE)
    return run.returncode, json.loads(run.stdout) if run.stdout else {}
