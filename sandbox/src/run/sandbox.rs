//! The engines, and the way of a verified module onto them.

use std::sync::{Arc, Mutex, OnceLock};

use wasmtime::{Engine, Linker, Module};

use super::SandboxError;
use super::guest::{Birth, Guest};
use super::model::Model;
use super::pace::Pace;
use crate::compile::{self, ArtefactCache, CompileError, Compiler, InProcess, Target};
use crate::manifest::Manifest;
use crate::rejection::Rejection;
use crate::rewrite::{self, Containment, Plan};
use crate::verify::{Class, Verified};

/// How a sandbox is set up. The default compiles in this process and keeps nothing between runs.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    fresh_instances: bool,
    compiler: Arc<dyn Compiler>,
    cache: Option<ArtefactCache>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self { fresh_instances: false, compiler: Arc::new(InProcess), cache: None }
    }
}

impl SandboxConfig {
    /// With `true`, a contained model gets a fresh instance for every unit: slow, and the yardstick
    /// for everything faster.
    #[must_use]
    pub fn fresh_instances(mut self, fresh: bool) -> Self {
        self.fresh_instances = fresh;
        self
    }

    /// Compiles with `compiler`, such as a [`ChildCompiler`](crate::ChildCompiler).
    #[must_use]
    pub fn compiler(mut self, compiler: impl Compiler + 'static) -> Self {
        self.compiler = Arc::new(compiler);
        self
    }

    /// Keeps compiled models on disk.
    #[must_use]
    pub fn cache(mut self, cache: ArtefactCache) -> Self {
        self.cache = Some(cache);
        self
    }
}

/// The engines that models run on. One per process is enough; it can be shared between threads and is
/// cheap to clone.
#[derive(Clone)]
pub struct Sandbox(Arc<Shared>);

/// What a sandbox and its models hold together.
pub(super) struct Shared {
    /// For modules that cannot tell NaNs apart.
    plain: Engine,
    /// For modules that could.
    canonical: Engine,
    config: SandboxConfig,
    pub(super) pace: Pace,
}

impl Sandbox {
    /// Sets the engines up.
    ///
    /// # Errors
    /// [`SandboxError::Internal`] where the machine cannot run compiled WebAssembly.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let engine = |canonical| Target::new(canonical).engine().map_err(|_| SandboxError::Internal("engine"));
        let (plain, canonical) = (engine(false)?, engine(true)?);
        Ok(Self(Arc::new(Shared { plain, canonical, config, pace: Pace::default() })))
    }

    /// Compiles a verified module and brings its first instance up.
    ///
    /// # Errors
    /// `model/manifest` when `manifest` is not the one the module was verified under, `model/compile`
    /// when the compiler gives up, `model/start` when data segments or the start function fail.
    pub fn load(&self, verified: &Verified, manifest: &Manifest) -> Result<Model, Rejection> {
        self.0.load(verified, manifest)
    }
}

impl Shared {
    /// See [`Sandbox::load`].
    pub(super) fn load(self: &Arc<Self>, verified: &Verified, manifest: &Manifest) -> Result<Model, Rejection> {
        if verified.manifest() != manifest {
            return Err(Rejection::new(
                "model/manifest",
                "the module was verified under another manifest",
                "该模块是按另一份清单校验的",
            ));
        }
        let containment = if self.config.fresh_instances { Containment::Fresh } else { Containment::Undo };
        let plan = Plan::of(verified, containment);
        let wasm = rewrite::rewrite(verified, &plan).map_err(|_| compile_failed())?;
        let module = self.compile(&wasm, Target::new(verified.report().canonical_nan))?;
        let pre = Linker::new(module.engine()).instantiate_pre(&module).map_err(|_| compile_failed())?;
        let first = Guest::new(&pre, manifest.kind()).map_err(|birth| match birth {
            Birth::Guest => Rejection::new(
                "model/start",
                "the module does not come up: a segment lies out of bounds, or its start function traps or does not end within the fuel",
                "模块无法启动：数据段或元素段越界，或启动函数出错、未在燃料限额内结束",
            ),
            Birth::Host => Rejection::new("model/start", "the machine has no room for the module", "系统资源不足，无法启动模块"),
        })?;
        Ok(Model(Arc::new(super::model::Inner {
            sandbox: Arc::clone(self),
            manifest: manifest.clone(),
            report: verified.report().clone(),
            digest: verified.digest().to_owned(),
            fresh: containment == Containment::Fresh && verified.report().class == Class::Contained,
            plan,
            pre,
            idle: Mutex::new(vec![first]),
            max_unit_time: OnceLock::new(),
        })))
    }

    /// The module as machine code: from the cache, or compiled and put there.
    fn compile(&self, wasm: &[u8], target: Target) -> Result<Module, Rejection> {
        let engine = if target.canonical_nan() { &self.canonical } else { &self.plain };
        let cached = self.config.cache.as_ref().map(|cache| (cache, ArtefactCache::name(wasm, engine)));
        if let Some((cache, name)) = &cached
            && let Some(module) = cache.get(name).and_then(|artefact| compile::load(engine, &artefact))
        {
            return Ok(module);
        }
        let artefact = self.config.compiler.compile(wasm, target).map_err(not_compiled)?;
        let module = compile::load(engine, &artefact).ok_or_else(compile_failed)?;
        if let Some((cache, name)) = &cached {
            // A cache that cannot be written costs the next start its time and nothing else.
            let _ = cache.put(name, &artefact);
        }
        Ok(module)
    }
}

fn not_compiled(error: CompileError) -> Rejection {
    match error {
        CompileError::Limit => Rejection::new(
            "model/compile-limit",
            "compiling the module takes more memory or time than a model is given",
            "编译该模块所需的内存或时间超过限额",
        )
        .hint("make its functions smaller", "请减小函数规模"),
        CompileError::Module => compile_failed(),
        CompileError::Unavailable => Rejection::new("model/compiler", "the compiler is not available", "编译器不可用"),
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("config", &self.0.config).finish_non_exhaustive()
    }
}

fn compile_failed() -> Rejection {
    Rejection::new("model/compile", "the module cannot be compiled", "模块无法编译")
}
