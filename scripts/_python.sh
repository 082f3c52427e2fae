# Sourced by the scripts beside it: finds a Python from 3.11 to 3.13 and makes .venv with what the project needs.
# Quiet where nothing is to be done.

find_python() {
    local name
    for name in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        [ -n "$name" ] || continue
        # a name on the PATH may be a shim that does not run, so it is tried
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
            >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    echo "error: no Python from 3.11 to 3.13 with venv was found; install one or name it in PYTHON" >&2
    return 1
}

# ensure_venv EXTRAS: leaves .venv with the project and EXTRAS ("test", or none) installed in editable mode. Who
# needs no extras is content with a .venv that has some.
ensure_venv() {
    local extras=$1 stamp=.venv/.installed wanted python
    wanted="$(cat setup.cfg setup.py pyproject.toml chain/native/*.[ch] | cksum) $extras"
    if [[ -x .venv/bin/python && "$(cat "$stamp" 2>/dev/null)" == "$wanted"* ]]; then
        return
    fi
    python=$(find_python)
    if ! .venv/bin/python -c '' >/dev/null 2>&1; then
        echo "making .venv with $("$python" --version) ..." >&2
        rm -rf .venv
        "$python" -m venv .venv
    fi
    echo "installing pybitcoind${extras:+ with what its tests need} into .venv ..." >&2
    if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        -e ".${extras:+[$extras]}" >.venv/install.log 2>&1; then
        tail -n 20 .venv/install.log >&2
        echo "error: the installation failed; the whole log is in .venv/install.log" >&2
        return 1
    fi
    echo "$wanted" >"$stamp"
}

# compile_once: where the environment forbids Python to keep what it compiles, every daemon that is started would
# compile the whole node anew. A second, once, for all of them.
compile_once() {
    if [ -n "${PYTHONDONTWRITEBYTECODE:-}" ]; then
        .venv/bin/python -m compileall -q -j 2 chain node p2p wallet "$@"
    fi
}
