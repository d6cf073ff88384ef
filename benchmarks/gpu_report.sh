#!/usr/bin/env bash
# Measures everything that docs/performance.md says of a GPU, within 9 minutes, and writes the tables into one file:
#
#   benchmarks/gpu_report.sh [--out gpu_report.md] [--device cuda] [--minutes 9] [--batches "16 8 32 4"]
#                         [--growth "2 8 20"] [--repeats 5] [flags of benchmark.py: --small, --size 128, --ngf 32 ...]
#
# PYTHON names the Python to use. Of what does not finish in its share of the time the file says so. A dry run of the
# same measurements without a GPU, bf16 and compiling left out: benchmarks/gpu_report.sh --device cpu --small --batches 2 --repeats 1
set -u
cd "$(dirname "$0")/.." || exit 1
PYTHON=${PYTHON:-python}
out=gpu_report.md device=cuda minutes=9 batches="16 8 32 4" growth="2 8 20" repeats=5
flags=()

fail() {
    echo "gpu_report.sh: $1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --out | --device | --minutes | --batches | --growth | --repeats)
            [ $# -ge 2 ] || fail "$1 needs a value"
            printf -v "${1#--}" %s "$2"
            shift 2
            ;;
        *)
            flags+=("$1")
            shift
            ;;
    esac
done
whole() { # FLAG VALUES
    local number
    for number in $2; do
        case $number in *[!0-9]* | 0) fail "$1 $number is not a whole number above 0" ;; esac
    done
}
whole --minutes "$minutes"
whole --repeats "$repeats"
whole --batches "$batches"
whole --growth "$growth"
command -v "$PYTHON" >/dev/null || fail "there is no $PYTHON; name one with torch: PYTHON=.venv/bin/python $0"
out=$(realpath -m "$out")
[ -w "$(dirname "$out")" ] || fail "--out $out cannot be written; pass another file"
if [ "${device%%:*}" = cuda ] && ! "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    fail "there is no CUDA GPU here, or this torch has no CUDA; try the script with --device cpu --small"
fi

deadline=$((SECONDS + 60 * minutes - 5))
: >"$out"

say() { echo "$*" | tee -a "$out"; }

# measure MOST_SECONDS SUBCOMMAND FLAGS...: its table, unless time is up
measure() {
    local most=$1 left=$((deadline - SECONDS)) status
    shift
    [ "$left" -lt "$most" ] && most=$left
    if [ "$most" -lt 10 ]; then
        say "left out for want of time: $*"
        return
    fi
    say "## $*"
    say '```'
    timeout --kill-after 5 "$most" "$PYTHON" benchmarks/benchmark.py "$@" --device "$device" \
        ${flags[@]+"${flags[@]}"} | tee -a "$out"
    status=${PIPESTATUS[0]}
    say '```'
    [ "$status" -eq 124 ] || [ "$status" -eq 137 ] && say "stopped after $most s"
    [ "$status" -eq 1 ] || [ "$status" -eq 2 ] && say "could not be measured"
    [ "$status" -eq 130 ] && exit 130
    return 0
}

best=ours-bf16 compiled=ours-bf16-compile
if [ "${device%%:*}" = cpu ]; then # a dry run: bf16 may be very slow here, and compiling takes minutes
    best=ours-checkpoint compiled=
fi
step="step --repeats $repeats --warm_ups 2"

measure 120 $step --batch_size 1 --variant published ours $best
[ -z "$compiled" ] || measure 150 $step --batch_size 1 --variant published $compiled
measure 120 memory --variant published ours ours-checkpoint $([ $best = ours-checkpoint ] || echo $best) --growth $growth
measure 90 translate --variant published ours $best
for batch in $batches; do # compiling takes longest; a second batch size finds some of it in torch's cache
    measure 120 $step --batch_size "$batch" --variant $best $compiled
done
[ -z "$compiled" ] || measure 60 translate --variant published $compiled
echo
echo "written to $out after $SECONDS s"
