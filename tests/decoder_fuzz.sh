#!/usr/bin/env bash
# Damaged films through the decoder program built with AddressSanitizer and UndefinedBehaviorSanitizer, for so many
# seconds (default 60). Stops at the first finding and keeps the film. Needs the libraries of an ordinary build.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
libraries=$(ls -td target/picchu-ffmpeg/*/lib | head -1)
sdk=${libraries%/lib}
work=$(mktemp -d)
dav1d=()
[ -f "$sdk/lib/libdav1d.a" ] && dav1d=("$sdk/lib/libdav1d.a")
cc -std=gnu11 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer \
  decoder/c/*.c -o "$work/decode" "-I$sdk/include" "$sdk/lib/libavformat.a" "$sdk/lib/libavcodec.a" "${dav1d[@]}" \
  "$sdk/lib/libswscale.a" "$sdk/lib/libavutil.a" -lm -lpthread -ldl

python3 - "$work" "$seconds" <<'PYTHON'
import pathlib, random, subprocess, sys, time

work, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])
clips = sorted(p for p in pathlib.Path("tests/fixtures/video").iterdir() if p.suffix != ".sh")
requests = [["--grid=0,1,3"], ["--all"], ["--keys"], ["--times=0,700000000,1900000000"], ["--grid=0,1,2", "--approximate"],
            ["--all", "--plain"], ["--grid=1,1,4", "--max-side=24"], ["--probe"]]
chance, until, runs = random.Random(int(time.time())), time.monotonic() + seconds, 0
while time.monotonic() < until:
    clip = chance.choice(clips)
    film = bytearray(clip.read_bytes())
    for _ in range(chance.choice([1, 1, 2, 4, 16, 64])):
        at, what = chance.randrange(len(film)), chance.randrange(4)
        if what == 0:
            film[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            film[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
        elif what == 2:
            film[at:at] = film[at:at + chance.randrange(64)]
        else:
            del film[at:at + chance.randrange(64)]
        film = film or bytearray(b"\0")
    path = work / f"film{clip.suffix}"
    path.write_bytes(film)
    # No sandbox: the sanitizers need what it forbids.
    arguments = [*chance.choice(requests), f"--workers={chance.choice([1, 2, 3])}", "--max-pixels=1000000", "--no-sandbox"]
    with path.open("rb") as stdin:
        done = subprocess.run([work / "decode", *arguments], stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              timeout=120)
    runs += 1
    if done.returncode not in (0, 1):
        print(done.stderr.decode(errors="replace")[-4000:])
        sys.exit(f"found with {' '.join(arguments)}: {path}")
print(f"{runs} damaged films, nothing found")
PYTHON
rm -r "$work"
