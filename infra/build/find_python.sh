#!/bin/sh
# Prints the path of a CPython that can make this project's environments: `find_python.sh [VERSION]`.
#
# Without VERSION any CPython from 3.12 on will do, 3.13 (what Lambda runs) first. pyenv puts a shim for every
# version it ever installed on PATH and lets it fail when called, so each candidate is run before it is believed.
# Set PYTHON to decide for yourself.
set -eu

wanted=${1:-}
order="3.13 3.12 3.14 3.15"
[ -z "$wanted" ] || order=$wanted

probe='
import sys
wanted = sys.argv[1]
here = "%d.%d" % sys.version_info[:2]
if sys.implementation.name != "cpython" or here != wanted:
    raise SystemExit(3)
try:
    import ensurepip, venv
except ImportError:
    raise SystemExit(4)
print(sys.executable)
'

without_ensurepip=""
for version in $order; do
    for candidate in ${PYTHON:-"python$version" python3 python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python /usr/bin/python3 /usr/local/bin/python3}; do
        status=0
        found=$("$candidate" -c "$probe" "$version" 2>/dev/null) || status=$?
        if [ "$status" -eq 0 ] && [ -n "$found" ]; then
            printf '%s\n' "$found"
            exit 0
        fi
        [ "$status" -ne 4 ] || without_ensurepip="$candidate ($version)"
    done
done

{
    if [ -n "$wanted" ]; then
        echo "No CPython $wanted that runs: the built artifacts hold its bytecode and wheels."
    else
        echo "No CPython from 3.12 on that runs."
    fi
    [ -z "$without_ensurepip" ] || echo "$without_ensurepip lacks ensurepip (on Debian: apt-get install python3-venv)."
    echo "Looked for ${PYTHON:-python3.x, python3 and python on PATH and under ${PYENV_ROOT:-~/.pyenv}/versions}."
    echo "Install one (pyenv install 3.13), or name it: make PYTHON=/path/to/python3.13 ..."
} >&2
exit 1
