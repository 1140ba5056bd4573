//! Untrusted WebAssembly models over Arrow columns.
