#!/bin/bash
# Instructions per message of 64 bytes, counted by valgrind. Fails above the budget.
# Usage: benches/instructions.sh
set -euo pipefail
cd "$(dirname "$0")/.."

# Instructions of one message, with the copy of its 64 bytes. Ten of a send take cache lines into
# possession ahead of the records, which doubles the rate of a stream. The peer liveness check
# depends on the clock: the budget has room for the dozen that it costs on a slow machine.
declare -A budget=([sends]=172 [receives]=108)

program=$(cargo bench -q --bench instructions --no-run --message-format json |
    jq -r 'select(.target.name == "instructions") | .executable // empty')
failed=0
for path in sends receives; do
    # No -C target-cpu: valgrind does not know every instruction of newer processors.
    report=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        --toggle-collect="*instructions::$path*" "$program" --bench 2>&1)
    messages=$(sed -n 's/^\([0-9]*\) messages$/\1/p' <<<"$report")
    total=$(sed -n 's/.*Collected : \([0-9]*\).*/\1/p' <<<"$report")
    each=$((total / messages))
    printf '%-10s %4d instructions per message, at most %d\n' "$path" "$each" "${budget[$path]}"
    [ "$each" -le "${budget[$path]}" ] || failed=1
done
exit $failed
