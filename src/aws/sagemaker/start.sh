#!/bin/sh
# What a training job runs: installs what the program needs, trains, shows on S3 how far it is, and lays out the result.
# In another place than SageMaker's container, PICCHU_ROOT takes the place of /opt/ml.
set -eu

root=${PICCHU_ROOT:-/opt/ml}
python=${PICCHU_PYTHON:-python}
program=$root/input/data/program
wheels=$root/input/data/wheels
# On the job's own disk; the container's is small.
work=${TMPDIR:-/tmp}/picchu-work
# What lies here is on S3 while the job runs, and again when it is started anew.
live=$root/checkpoints/run
result=$root/model

# The reason that SageMaker tells of a failed job: at most 1024 characters of it.
fail() {
    mkdir -p "$root/output"
    printf '%s\n' "$1" >"$root/output/failure"
    printf '%s\n' "$1" >&2
    exit 1
}

# A file is whole or the one before: readers look at any time.
put() {
    [ -f "$1" ] || return 0
    cp "$1" "$2.new" && mv "$2.new" "$2"
}

publish() {
    for name in status.json metrics.jsonl; do
        put "$work/run/$name" "$live/$name"
    done
    # One line for the log, from which SageMaker reads the loss.
    tail -n 1 "$work/run/metrics.jsonl" 2>/dev/null || true
}

mkdir -p "$work/run" "$live" "$result"
cd "$root"
ln -sfn "$work" work
export PYTHONPATH="$program${PYTHONPATH:+:$PYTHONPATH}"
export HF_HOME="${HF_HOME:-$work/huggingface}"

if [ -d "$wheels" ]; then
    export PIP_NO_INDEX=1 PIP_FIND_LINKS="$wheels"
fi
"$python" -m pip install --quiet --disable-pip-version-check -r "$program/requirements.txt" ||
    fail "bad_input: the packages of requirements.txt could not be installed; let the job reach the internet, or give them as wheels"

# A job that was interrupted goes on: its checkpoints are there again, and so is what it told.
put "$live/metrics.jsonl" "$work/run/metrics.jsonl"

"$python" -m picchu_training train "$program/settings.json" &
training=$!
# SageMaker asks to stop with SIGTERM and waits two minutes; the program leaves a checkpoint and ends.
trap 'kill -TERM "$training" 2>/dev/null || true' TERM INT

while kill -0 "$training" 2>/dev/null; do
    publish
    sleep "${PICCHU_LOOK_SECONDS:-5}" &
    wait $! || true
done
code=0
wait "$training" || code=$?
trap - TERM INT
publish

# A field of status.json, one level deep or two.
told() {
    "$python" -c 'import json, sys
found = json.load(open(sys.argv[1], encoding="utf-8"))
for name in sys.argv[2:]:
    found = found.get(name) or {}
print(found or "")' "$work/run/status.json" "$@" 2>/dev/null || true
}

if [ "$code" -ne 0 ]; then
    if [ "$code" -eq 137 ]; then
        fail "out_of_memory: the program was killed, as the system does where memory is used up"
    fi
    kind=$(told failure kind)
    fail "${kind:-other}: $(told failure message); $(told failure advice)"
fi
if [ "$(told state)" = stopped ]; then
    # Not done: with this a job that was interrupted is started again, and one that was stopped is not taken for done.
    exit 143
fi

cp "$work/run/pytorch_lora_weights.safetensors" "$work/run/README.md" "$work/run/status.json" \
    "$work/run/metrics.jsonl" "$result/"
if [ -d "$work/run/samples" ]; then
    cp -R "$work/run/samples" "$result/"
fi

# With its code beside it the result can be served as it is.
mkdir -p "$result/code"
cp -R "$program/picchu_training" "$program/inference.py" "$program/requirements.txt" "$result/code/"
rm -rf "$result/code/picchu_training/__pycache__"
if [ -d "$wheels" ]; then
    cp -R "$wheels" "$result/code/wheels"
fi

if [ -f "$program/draw.json" ]; then
    # The model is done and paid: it is kept, whatever becomes of the panels.
    if ! "$python" -m picchu_training draw "$program/draw.json" 2>"$work/draw.log"; then
        mkdir -p "$result/storyboard"
        tail -n 1 "$work/draw.log" >"$result/storyboard/failure.txt"
    fi
    cat "$work/draw.log" >&2
fi
