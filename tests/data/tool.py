"""What the tests on real data share: where the data is, TAP lines, the tool run with --json."""

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


def tdsnn(*arguments):
    """Exit code and JSON document ({} without one) of the tool named on the command line."""
    run = subprocess.run([sys.argv[1], *arguments, "--json", "--quiet"], stdout=subprocess.PIPE)
    return run.returncode, json.loads(run.stdout) if run.stdout else {}
