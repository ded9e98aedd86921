#!/bin/bash
# Instructions per message of 64 bytes, counted by valgrind, against the budget: fails when a path grew.
# Usage: benches/instructions.sh
set -euo pipefail
cd "$(dirname "$0")/.."

# What one message may cost, with the copy of its 64 bytes. Of a send, ten are for taking lines into possession ahead of
# the records, which doubles the stream of such messages; and some, more on a slow machine, for looking at the peer as
# often as the clock moves on, which is often under valgrind: so there is room for a dozen.
declare -A budget=([sends]=172 [receives]=108)

program=$(cargo bench -q --bench instructions --no-run --message-format json |
    jq -r 'select(.target.name == "instructions") | .executable // empty')
failed=0
for path in sends receives; do
    # valgrind knows fewer processors than the compiler: the choice of instructions stays the baseline's.
    report=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="*instructions::$path*" \
        "$program" --bench 2>&1)
    messages=$(sed -n 's/^\([0-9]*\) messages$/\1/p' <<<"$report")
    total=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' <<<"$report")
    each=$((total / messages))
    printf '%-10s %4d instructions per message, at most %d\n' "$path" "$each" "${budget[$path]}"
    [ "$each" -le "${budget[$path]}" ] || failed=1
done
exit $failed
