#!/usr/bin/env bash
# Rebuilds every committed .wasm beside its source. Needs clang and lld, Node.js and a Rust with the target
# wasm32-unknown-unknown; the versions that made the committed files are in README.md.
#
#   models/rebuild.sh            all of them
#   CLANG=clang models/rebuild.sh
#   ASC="npx asc" models/rebuild.sh
#
# On Debian, whose rustc comes without a built core for the target (packages rustc-web, cargo-web, rust-web-src, lld-19):
#   CARGO="env CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=/usr/lib/llvm-19/bin/wasm-ld RUSTC_BOOTSTRAP=1 \
#     RUSTC=/usr/bin/rustc /usr/bin/cargo" CARGO_FLAGS=-Zbuild-std=core models/rebuild.sh
set -euo pipefail
cd "$(dirname "$0")"
CLANG=${CLANG:-clang-19}
ASC=${ASC:-npx --package assemblyscript asc}
CARGO=${CARGO:-cargo}
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT

for source in */c/*.c; do
    $CLANG --target=wasm32 -O2 -nostdlib -Wl,--no-entry -Wl,--strip-all "$source" -o "${source%.c}.wasm"
done
for source in */assemblyscript/*.ts; do
    $ASC "$source" -O3 --runtime stub --use abort= -o "${source%.ts}.wasm"
done
for folder in */rust; do
    (cd "$folder" && CARGO_TARGET_DIR=$target $CARGO build --release ${CARGO_FLAGS:-} --target wasm32-unknown-unknown)
    name=$(sed -n 's/^name = "\(.*\)"/\1/p' "$folder/Cargo.toml")
    cp "$target/wasm32-unknown-unknown/release/$name.wasm" "$folder/"
    rm -f "$folder/Cargo.lock"
done
chmod -x -- */*/*.wasm
