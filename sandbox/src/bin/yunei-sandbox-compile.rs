//! The compiling child as a program of its own, for those who use the sandbox without `yunei`: reads
//! one request from standard input and writes one answer to standard output. See `ChildCompiler`.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    match yunei_sandbox::compile_child_main(io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
