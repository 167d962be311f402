#!/bin/sh
# Compiles each public header alone, included twice, as C11 and as C++11; prints TAP.
# headers.sh INCLUDE_FOLDER C_COMPILER...
set -u
include=$1
shift
number=0
failed=0
warnings='-pedantic -Wall -Wextra -Werror'

# check TITLE COMMAND ...: one test.
check() {
    title=$1
    shift
    number=$((number + 1))
    if said=$("$@" 2>&1); then
        echo "ok $number - $title"
    else
        echo "not ok $number - $title"
        echo "$said" | sed 's/^/# /'
        failed=1
    fi
}

cxx_compiler() {
    for candidate in g++ clang++; do
        if command -v $candidate >/dev/null 2>&1; then
            echo $candidate
            return
        fi
    done
}

cxx=$(cxx_compiler)
program=$(mktemp)
trap 'rm -f "$program"' EXIT
for path in "$include"/tdsnn/*.h; do
    header=${path##*/}
    # The last line: no program of C is empty.
    printf '#include <tdsnn/%s>\n#include <tdsnn/%s>\nextern int nothing;\n' \
        "$header" "$header" >"$program"
    # shellcheck disable=SC2086 # One word a warning.
    check "$header as C11" \
        "$@" -std=c11 $warnings -Wstrict-prototypes -fsyntax-only -I "$include" -x c "$program"
    if [ -n "$cxx" ]; then
        # shellcheck disable=SC2086
        check "$header as C++11" \
            "$cxx" -std=c++11 $warnings -fsyntax-only -I "$include" -x c++ "$program"
    fi
done
if [ -z "$cxx" ]; then
    number=$((number + 1))
    echo "ok $number - headers as C++11 # SKIP no C++ compiler is installed"
fi
echo "1..$number"
exit $failed
