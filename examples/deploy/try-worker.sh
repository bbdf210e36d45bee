#!/usr/bin/env bash
# Runs the worker as its container would: as nobody, on a root that nothing is written to, with 512 MB of memory and no
# swap, on a film of ten minutes that lies on an S3 service of this machine. Tells what it took.
#
#   try-worker.sh ROOT FOLDER CLIP        CLIP is repeated until it lasts ten minutes; a cast for it is taken from
#                                         FOLDER/settings, where there is one, and otherwise from the project's own film
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
root=${1:?the root file system} folder=${2:?a folder to work in} clip=${3:?a clip}
memory=${MEMORY_MB:-512}
for tool in ffmpeg moto_server unshare setpriv; do
  command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done

film=$folder/ten-minutes.mp4
[ -e "$film" ] || ffmpeg -v error -y -stream_loop -1 -i "$clip" -t 600 -an -c copy "$film"
settings=$folder/settings
if [ ! -e "$settings/worker.toml" ]; then
  mkdir -p "$settings"
  cp -r "$source/examples/film/cast.toml" "$source/examples/film/cast" "$settings/"
  printf 'output = "s3://data/out"\n[run]\ncast = "cast.toml"\nfps = 1.0\n' >"$settings/worker.toml"
fi

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
moto_server -H 127.0.0.1 -p "$port" >"$folder/moto.log" 2>&1 &
moto=$!
group=
cleanup() {
  kill $moto 2>/dev/null || true
  [ -z "$group" ] || rmdir "$group" 2>/dev/null || true
}
trap cleanup EXIT
s3=http://127.0.0.1:$port
until curl -sf "$s3/moto-api/" >/dev/null; do sleep 0.2; done
for bucket in uploads data config; do curl -sf -X PUT "$s3/$bucket" >/dev/null; done
curl -sf -T "$film" "$s3/uploads/films/ten-minutes.mp4" >/dev/null
(cd "$settings" && find . -type f -printf '%P\n') | while read -r name; do
  curl -sf -T "$settings/$name" "$s3/config/settings/$name" >/dev/null
done

# A group of processes with so much memory: where groups are, and otherwise a limit of each process's own data.
limit=()
if [ -w /sys/fs/cgroup/memory ]; then
  group=/sys/fs/cgroup/memory$(awk -F: '$2 == "memory" { print $3 }' /proc/self/cgroup)/picchu-worker-$$
  mkdir "$group"
  echo $((memory << 20)) >"$group/memory.limit_in_bytes"
  echo $((memory << 20)) >"$group/memory.memsw.limit_in_bytes" 2>/dev/null || true
elif grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
  group=/sys/fs/cgroup$(awk -F: '$1 == "0" { print $3 }' /proc/self/cgroup)/picchu-worker-$$
  mkdir "$group"
  echo $((memory << 20)) >"$group/memory.max"
  echo 0 >"$group/memory.swap.max" 2>/dev/null || true
else
  echo "memory is limited by the process alone: no group of processes can be made here"
  limit=(prlimit "--data=$((memory << 20))")
fi

begun=$(date +%s)
(
  [ -z "$group" ] || echo "$BASHPID" >"$group/cgroup.procs"
  exec unshare --mount --pid --fork --kill-child bash -euc '
    root=$1; shift
    # Read-only but for /tmp, as the task definition has it.
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
    mount -t tmpfs -o mode=1777,size=64m tmp "$root/tmp"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev" 2>/dev/null || true
    exec "$@"
  ' run "$root" "${limit[@]}" env -i AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=an-id AWS_SECRET_ACCESS_KEY=a-secret \
    AWS_ENDPOINT_URL="$s3" SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    setpriv --no-new-privs "$(command -v chroot)" --userspec=65532:65532 --groups= "$root" \
    /usr/bin/picchu worker s3://uploads/films/ten-minutes.mp4 --settings s3://config/settings --health /tmp/alive
) >"$folder/worker.log" 2>"$folder/worker.err" && code=0 || code=$?
took=$(($(date +%s) - begun))
peak=unknown
for file in memory.max_usage_in_bytes memory.peak; do
  [ -n "$group" ] && [ -e "$group/$file" ] && peak=$(($(cat "$group/$file") >> 20))
done
echo "exit code $code after $took s; at most $peak of $memory MB"
grep -o '"event":"finished".*' "$folder/worker.log" | head -c 600 || true
echo
[ "$code" = 0 ] || { cat "$folder/worker.err"; tail -n 3 "$folder/worker.log"; exit 1; }
