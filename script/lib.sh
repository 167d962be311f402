# Shared by the programs in this folder: `. script/lib.sh`. They run from the project's root.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# One line for each thing done.
say() {
    printf '==> %s\n' "$*"
}

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# version_of MESON: its version, or nothing where it does not run (a shim without its Python).
version_of() {
    "$1" --version 2>/dev/null || true
}

# at_least VERSION MINIMUM
at_least() {
    [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# made_by DIR: the version of meson that configured the build folder DIR, or nothing.
made_by() {
    sed -n 's/.*"meson_version": {"full": "\([^"]*\)".*/\1/p' "$1/meson-info/meson-info.json" \
        2>/dev/null || true
}

# choose_meson DIR: sets MESON. A build folder can only be used by the version that made it, so
# among the mesons that are new enough that one comes first.
choose_meson() {
    local candidate version wanted
    MESON=
    wanted=$(made_by "$1")
    for candidate in /usr/bin/meson meson; do
        version=$(version_of "$candidate")
        at_least "$version" 1.0 || continue
        if [ "$version" = "$wanted" ]; then
            MESON=$candidate
            return
        fi
        MESON=${MESON:-$candidate}
    done
    [ -n "$MESON" ] || die "no meson >= 1.0 found; script/bootstrap installs it"
}

# configure DIR [-Doption=value ...]: makes the build folder, or gives an existing one these
# options. Without options an existing folder keeps those that it has.
configure() {
    local dir=$1 options
    shift
    options="$*"
    choose_meson "$dir"
    if [ ! -f "$dir/build.ninja" ]; then
        say "configuring $dir"
        quietly "$MESON" setup "$dir" "$@"
    elif [ "$(made_by "$dir")" != "$(version_of "$MESON")" ]; then
        say "configuring $dir anew: it was made by another version of meson"
        quietly "$MESON" setup --wipe "$dir" "$@"
    elif [ $# -gt 0 ] && [ "$(cat "$dir/.options" 2>/dev/null)" != "$options" ]; then
        say "configuring $dir with $options"
        quietly "$MESON" configure "$dir" "$@"
    else
        return 0
    fi
    if [ $# -gt 0 ]; then
        printf '%s\n' "$options" >"$dir/.options"
    fi
}

# compile DIR [TARGET ...]
compile() {
    local dir=$1
    shift
    say "building $dir${*:+: $*}"
    quietly ninja -C "$dir" "$@"
}

# quietly COMMAND ...: its output is shown only where it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -ne 0 ]; then
        cat "$log" >&2
    fi
    rm -f "$log"
    return "$status"
}

# A Python of its own with what tests/interop/requirements.txt names, as TDSNN_PYTHON, unless that is
# set.
set_python() {
    local wanted=tests/interop/requirements.txt
    if [ ! -f "$wanted" ] || [ -n "${TDSNN_PYTHON:-}" ]; then
        return
    fi
    if ! cmp -s "$wanted" .venv/installed; then
        say "installing the Python packages of $wanted"
        python3 -m venv --clear .venv
        if ! quietly .venv/bin/pip install -q --disable-pip-version-check -r "$wanted"; then
            say "PyPI is not there: tests that need its packages are skipped"
            return
        fi
        cp "$wanted" .venv/installed
    fi
    export TDSNN_PYTHON=$PWD/.venv/bin/python3
}

# measure PROGRAM [DIR] [options]: runs a measurement of tests/data on the shared data.
measure() {
    local program=$1
    shift
    export TDSNN_SHARED_DATA=../shared/data
    if [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; then
        TDSNN_SHARED_DATA=$1
        shift
    fi
    [ -d "$TDSNN_SHARED_DATA/models" ] || die "no networks at $TDSNN_SHARED_DATA/models"
    [ -x "${TDSNN:=build/tdsnn}" ] || die "no $TDSNN; script/build makes it"
    exec python3 "tests/data/$program" "$TDSNN" "$@"
}
