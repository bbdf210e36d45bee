#!/usr/bin/env bash
# Executes the steps of the Containerfile without a container engine, in a clean Debian root, and runs the worker in the
# root file system that comes out: as nobody, read-only, with 512 MB of memory, on a film of ten minutes at 1080 lines.
# Needs root, debootstrap and unshare; ffmpeg and moto_server for the film and its S3.
#
#   try-container.sh FOLDER [CLIP]        FOLDER is made and kept; CLIP is repeated until it lasts ten minutes
#
# TOOLCHAIN=/path takes a Rust toolchain that is there instead of downloading one, CARGO_SOURCES=/path a cargo registry.
# TRUST=/path takes a folder of certificates (*.crt) of authorities that this machine's network has for itself.
# PROGRAM=/path takes a program that is built already, and BILL=/path what container/bill.py made: the last steps alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
folder=${1:?a folder to work in}
clip=${2:-}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
debian=$folder/debian
root=$folder/root-of-image
[ "$(id -u)" = 0 ] || { echo "this needs root: a root file system is made and entered"; exit 2; }
for tool in debootstrap unshare ffmpeg; do
  command -v $tool >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
done

[ -e "$debian/etc/debian_version" ] || debootstrap --variant=minbase trixie "$debian" >/dev/null
mkdir -p "$debian/steps" "$debian/source" "$debian/opt/rust" "$debian/opt/cargo" "$debian/usr/local/share/ca-certificates"
cp "$here"/container/* "$debian/steps/"
cp /etc/resolv.conf /etc/hosts "$debian/etc/"
if [ -n "${TRUST:-}" ]; then cp "$TRUST"/*.crt "$debian/usr/local/share/ca-certificates/"; fi

# One step in the clean root. What is mounted is gone when it ends.
step() {
  unshare --mount --pid --fork --kill-child bash -euc '
    debian=$1; source=$2; shift 2
    mount -t proc proc "$debian/proc"
    mount --rbind /dev "$debian/dev"
    mount --bind "$source" "$debian/source"; mount -o remount,bind,ro "$debian/source"
    if [ -n "${TOOLCHAIN:-}" ]; then mount --bind "$TOOLCHAIN" "$debian/opt/rust"; fi
    if [ -n "${CARGO_SOURCES:-}" ]; then mkdir -p "$debian/opt/cargo/registry"; mount --bind "$CARGO_SOURCES" "$debian/opt/cargo/registry"; fi
    exec chroot "$debian" /usr/bin/env -i HOME=/root TERM=dumb CARGO_HOME=/opt/cargo RUSTUP_HOME=/opt/rustup CARGO_TARGET_DIR=/built \
      PATH=/opt/rust/bin:/opt/cargo/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
  ' step "$debian" "$source" "$@"
}

if [ -z "${PROGRAM:-}" ]; then
  step /steps/packages
  step /steps/toolchain 1.95.0
  step /steps/build /source /root-of-image
  rm -rf "$root"
  mv "$debian/root-of-image" "$root"
else
  # Built elsewhere: the same root, from the libraries of the clean Debian.
  step /steps/packages
  mkdir -p "$debian/built/bill"
  cp "$PROGRAM" "$debian/built/picchu"
  cp "${BILL:?with PROGRAM, the folder that container/bill.py has filled}"/* "$debian/built/bill/"
  step /steps/root /built/picchu /source /built/bill /root-of-image
  rm -rf "$root"
  mv "$debian/root-of-image" "$root"
fi
du -sh "$root"

if [ -n "$clip" ]; then
  "$here/try-worker.sh" "$root" "$folder" "$clip"
fi
