#!/bin/sh
# run.sh SCRIPT ARGUMENT ...: runs a Python test with the Python that script/test interop has set up.
exec "${TDSNN_PYTHON:-python3}" "$@"
