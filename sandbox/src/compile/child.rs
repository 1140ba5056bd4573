//! Compilation in a child process: a module that makes the compiler eat memory or time costs the
//! child its life and the host nothing.
//!
//! The child is any program that calls [`compile_child_main`]; it reads one request and writes one
//! answer. It bounds its own memory and CPU time before it looks at the module; the parent bounds
//! its wall time. A program that calls [`compile_in_child`] first of all is its own child.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::{CompileError, Compiler, InProcess, Target};

const REQUEST: &[u8; 8] = b"yunei-q1";
const DONE: &[u8; 8] = b"yunei-d1";
/// The exit code of a Rust program that panicked.
const PANICKED: i32 = 101;
const REFUSED: &[u8; 8] = b"yunei-r1";
/// A module of the greatest size, rewritten, stays well below.
const REQUEST_BYTES: u64 = 128 * 1024 * 1024;
const ANSWER_BYTES: u64 = 512 * 1024 * 1024;

/// What the child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Bytes of address space.
    pub address_space: u64,
    /// Seconds of CPU time, over all its threads.
    pub cpu_seconds: u64,
    /// Time until the answer has to be there.
    pub wall: Duration,
}

impl Default for CompileLimits {
    /// 2 GiB, 60 s, 120 s: a module of 1 MiB takes about a hundredth of it.
    fn default() -> Self {
        Self { address_space: 2 << 30, cpu_seconds: 60, wall: Duration::from_secs(120) }
    }
}

/// Compiles in a child process.
#[derive(Debug, Clone)]
pub struct ChildCompiler {
    program: PathBuf,
    args: Vec<OsString>,
    limits: CompileLimits,
}

/// The word after a program's name that makes it a compiling child.
const CHILD_WORD: &str = "compile-child";
/// Threads of the child. With more, their stacks and arenas would use up its address space.
const THREADS: &str = "2";

static SELF: OnceLock<PathBuf> = OnceLock::new();

/// To be called first thing in `main`: a process that was started as a compiling child does its work here
/// and ends; any other goes on, and from now on [`ChildCompiler::of_this_program`] starts this program.
pub fn compile_in_child() {
    let mut args = std::env::args_os().skip(1);
    if args.next().as_deref() == Some(OsStr::new(CHILD_WORD)) && args.next().is_none() {
        let done = compile_child_main(io::stdin().lock(), io::stdout().lock());
        std::process::exit(i32::from(done.is_err()));
    }
    // The running program itself, even when its file has been replaced by another version.
    let own = PathBuf::from("/proc/self/exe");
    if let Some(program) = if own.exists() { Some(own) } else { std::env::current_exe().ok() } {
        // Set before: by an earlier call, with the same path.
        let _ = SELF.set(program);
    }
}

impl ChildCompiler {
    /// The compiler that starts this very program; `None` where it has not called [`compile_in_child`],
    /// as tests and programs that only link the library have not.
    pub fn of_this_program() -> Option<Self> {
        SELF.get().map(|program| Self::new(program, [CHILD_WORD]))
    }

    /// A compiler that starts `program` with `args`; the program calls [`compile_child_main`].
    pub fn new(program: impl Into<PathBuf>, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            limits: CompileLimits::default(),
        }
    }

    /// Sets what the child may use.
    #[must_use]
    pub fn limits(mut self, limits: CompileLimits) -> Self {
        self.limits = limits;
        self
    }

    fn spawn(&self) -> io::Result<Child> {
        Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .env("RAYON_NUM_THREADS", THREADS)
            .env("MALLOC_ARENA_MAX", THREADS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    }

    fn header(&self, target: Target, length: usize) -> Vec<u8> {
        let mut header = REQUEST.to_vec();
        header.push(u8::from(target.canonical_nan()));
        header.extend(self.limits.address_space.to_le_bytes());
        header.extend(self.limits.cpu_seconds.to_le_bytes());
        header.extend((length as u64).to_le_bytes());
        header
    }
}

impl Compiler for ChildCompiler {
    fn compile(&self, wasm: &[u8], target: Target) -> Result<Vec<u8>, CompileError> {
        let mut child = self.spawn().map_err(|_| CompileError::Unavailable)?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(CompileError::Unavailable);
        };
        let mut request = self.header(target, wasm.len());
        request.extend_from_slice(wasm);
        // Neither pipe may keep this thread: the child may stop reading or never answer.
        std::thread::spawn(move || input.write_all(&request));
        let (answered, answer) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(ANSWER_BYTES).read_to_end(&mut bytes);
            // The receiver is gone when time was up: nobody misses the answer then.
            let _ = answered.send(read.map(|_| bytes));
        });
        let bytes = match answer.recv_timeout(self.limits.wall) {
            Ok(Ok(bytes)) => bytes,
            _ => {
                // It may have ended by itself in the meantime; either way it is waited for.
                let _ = child.kill();
                let _ = child.wait();
                return Err(CompileError::Limit);
            }
        };
        let status = child.wait().map_err(|_| CompileError::Unavailable)?;
        if let Some(artefact) = bytes.strip_prefix(DONE)
            && status.success()
        {
            return Ok(artefact.to_vec());
        }
        match status.code() {
            // A verified module is valid: what keeps the compiler from it, be it a refusal or a panic,
            // is a bound — on the memory it may map, or one of its own on the size of code.
            Some(_) if bytes == REFUSED => Err(CompileError::Limit),
            Some(PANICKED) => Err(CompileError::Limit),
            // Not our child, or not this version of it.
            Some(_) => Err(CompileError::Unavailable),
            // Killed by a signal: out of CPU time, or aborted for want of memory.
            None => Err(CompileError::Limit),
        }
    }
}

/// What a program does that is started as the compiling child: reads one request from `input`, sets
/// the limits that it names on this process, compiles, and writes the answer to `output`.
///
/// # Errors
/// When the request is not one, the limits cannot be set, or a pipe breaks; the caller should then
/// end with a failure.
pub fn compile_child_main(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut header = [0; 33];
    input.read_exact(&mut header)?;
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let rest = header.strip_prefix(REQUEST).ok_or_else(malformed)?;
    let number = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&rest[at..at + 8]);
        u64::from_le_bytes(eight)
    };
    let target = Target::new(rest[0] != 0);
    let (address_space, cpu_seconds, length) = (number(1), number(9), number(17));
    if length > REQUEST_BYTES {
        return Err(malformed());
    }
    limit(Resource::As, address_space)?;
    limit(Resource::Cpu, cpu_seconds)?;
    limit(Resource::Core, 0)?;
    let mut wasm = Vec::new();
    input.take(length).read_to_end(&mut wasm)?;
    match InProcess.compile(&wasm, target) {
        Ok(artefact) => {
            output.write_all(DONE)?;
            output.write_all(&artefact)?;
        }
        Err(_) => output.write_all(REFUSED)?,
    }
    output.flush()
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    Ok(())
}
