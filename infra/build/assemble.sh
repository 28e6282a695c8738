#!/bin/sh
# Runs assemble.py with a CPython 3.13 that has pip: BUILD_PYTHON if the caller knows one, else whichever is found.
# ARCHITECTURE is set by `make build`; alone, `sam build` builds for the template's default.
set -eu
here=$(dirname "$0")
python=${BUILD_PYTHON:-$(sh "$here/find_python.sh" 3.13)}
exec "$python" "$here/assemble.py" --architecture "${ARCHITECTURE:-arm64}" "$@"
