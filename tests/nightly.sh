#!/usr/bin/env bash
# What is too slow or too rarely installed for every change: other processors, Miri, fuzzing. Says what it skips.
# `RUSTC` chooses the compiler for the other processor, for example a distribution's with that target's library.
set -euo pipefail
cd "$(dirname "$0")/.."
have() { command -v "$1" >/dev/null; }

echo "== a hundred killed runs, on a disk and on S3"
cargo test --locked --features cli,testing,aws-s3 --test it -- kill::a_hundred --ignored

echo "== aarch64, under emulation"
target=aarch64-unknown-linux-gnu
emulator=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || true)
if [ -n "$emulator" ] && have aarch64-linux-gnu-gcc && [ -d "$("${RUSTC:-rustc}" --print sysroot)/lib/rustlib/$target" ]; then
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$emulator -L /usr/aarch64-linux-gnu" \
    cargo test --locked --no-default-features --target "$target" --lib -- simd dedupe
else
  echo "skipped: needs qemu-user, aarch64-linux-gnu-gcc and the standard library for $target"
fi

echo "== Miri, on the portable kernel"
if cargo +nightly miri --version >/dev/null 2>&1; then
  PROPTEST_CASES=4 MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --no-default-features --lib -- simd
else
  echo "skipped: needs a nightly toolchain with the component miri"
fi

echo "== fuzzing, one minute a target"
if cargo +nightly fuzz --version >/dev/null 2>&1; then
  for fuzz_target in $(cargo +nightly fuzz list); do
    cargo +nightly fuzz run "$fuzz_target" -- -max_total_time=60
  done
else
  echo "skipped: needs a nightly toolchain and cargo-fuzz"
fi

echo "== damaged films through the decoder with sanitizers, two minutes"
if [ -d target/picchu-ffmpeg ] && have python3; then
  tests/decoder_fuzz.sh 120
else
  echo "skipped: needs a built decoder and python3"
fi

echo "== real clips against the system's ffmpeg"
cargo test --locked --features cli,testing --test it -- --ignored real_clips
