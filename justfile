# just --list

export CARGO_TARGET_DIR := env("CARGO_TARGET_DIR", env("HOME") / ".cache/yunei-target")

# the recipes
default:
    @just --list

# the whole way once: a model is uploaded, a product runs, leaks fail, the log is checked
demo *ARGS:
    cargo run --release -- demo {{ ARGS }}

# all tests
test *ARGS:
    cargo test --workspace {{ ARGS }}

# what every change must pass
ci:
    .ci/run

# one target of fuzz/ for so many seconds
fuzz TARGET SECONDS="120" *OPTIONS:
    fuzz/run {{ TARGET }} {{ SECONDS }} {{ OPTIONS }}

# format the code
fmt:
    cargo fmt --all

# lints, as in ci
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# documentation, as in ci
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# append rates of the log (runtime/audit/BENCH.md)
bench-audit:
    cargo bench -p yunei-audit

# the suites of the store on PostgreSQL: a throw-away server from the machine's package
postgres *ARGS:
    runtime/engine/conformance/postgres.sh {{ ARGS }}

# rows per second of the sandbox
bench-sandbox:
    cargo bench -p yunei-sandbox

# 200 runs done again, digest for digest; one changed byte of a dataset, one changed number of the policy, another module:
# each named. And verifications, of the rows themselves.
replay:
    cargo test -p yunei-engine --test replay
    cargo test -p yunei-engine --test verification again::

# the log under every fault of the disk (strace), against the table that is checked in, and on a disk that is really full
faults:
    cargo run -p yunei-audit --example fault_matrix -- --check runtime/audit/FAULTS.md
    cargo run -p yunei-audit --example full_disk
