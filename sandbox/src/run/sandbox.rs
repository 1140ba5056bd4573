//! The engines, and the way of a verified module onto them.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use wasmtime::Engine;

use super::SandboxError;
use super::guest::{Birth, Guest};
use super::loaded::{Kept, Loaded};
use super::model::{Inner, Model};
use super::pace::Pace;
use crate::compile::{
    self, ArtefactCache, Code, CompileError, Compiler, Entry, Generation, InProcess, Known, Name, Placed, Target,
};
use crate::manifest::Manifest;
use crate::rejection::Rejection;
use crate::rewrite::{self, Containment, Plan, Rewritten};
use crate::verify::{self, Class, Report, Verified};

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
pub struct Sandbox {
    shared: Arc<Shared>,
    /// Beside what models hold, not in it: a model that is kept holds what is shared.
    kept: Arc<Mutex<Kept>>,
}

/// What a sandbox and its models hold together.
pub(super) struct Shared {
    /// For modules that cannot tell NaNs apart.
    plain: Engine,
    /// For modules that could.
    canonical: Engine,
    config: SandboxConfig,
    generation: Generation,
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
        let generation = Generation::new([&plain, &canonical], config.fresh_instances);
        let shared = Arc::new(Shared { plain, canonical, config, generation, pace: Pace::default() });
        Ok(Self { shared, kept: Arc::default() })
    }

    /// Makes a model ready: recalled where it is known, otherwise verified, compiled and kept.
    ///
    /// # Errors
    /// As [`Verified::check`] and [`load`](Self::load).
    pub fn open(&self, module: &[u8], manifest: &Manifest) -> Result<Model, Vec<Rejection>> {
        if module.starts_with(b"\0asm")
            && let Some(model) = self.recall(&verify::digest_of(module), manifest)
        {
            return Ok(model);
        }
        let verified = Verified::check(module, manifest)?;
        self.load(&verified, manifest).map_err(|r| vec![r])
    }

    /// The model of the binary module with this SHA-256 (in hexadecimal, as [`Verified::digest`] has it) under
    /// `manifest`, without its bytes: where it is still loaded in this process, or where this very version of the
    /// sandbox verified and compiled it before and the home's cache has what came of it. `None` where it has to be
    /// verified, or does not come up again.
    pub fn recall(&self, digest: &str, manifest: &Manifest) -> Option<Model> {
        let name = self.shared.generation.name(digest, manifest);
        let known = self.kept().get(&name);
        let loaded = match known {
            Some(loaded) => loaded,
            None => self.keep(name.clone(), self.shared.cached(&name, digest, manifest)?),
        };
        self.shared.bring_up(loaded).ok()
    }

    /// Compiles a verified module and brings its first instance up.
    ///
    /// # Errors
    /// `model/manifest` when `manifest` is not the one the module was verified under, `model/compile`
    /// when the compiler gives up, `model/start` when data segments or the start function fail.
    pub fn load(&self, verified: &Verified, manifest: &Manifest) -> Result<Model, Rejection> {
        same_manifest(verified, manifest)?;
        if let Some(model) = self.recall(verified.digest(), manifest) {
            return Ok(model);
        }
        let loaded = self.shared.compile(verified)?;
        let model = self.shared.bring_up(Arc::new(loaded))?;
        self.keep(self.shared.generation.name(verified.digest(), manifest), Arc::clone(&model.0.loaded));
        Ok(model)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, name: Name, loaded: impl Into<Arc<Loaded>>) -> Arc<Loaded> {
        self.kept().put(name, loaded.into())
    }
}

fn same_manifest(verified: &Verified, manifest: &Manifest) -> Result<(), Rejection> {
    if verified.manifest() == manifest {
        return Ok(());
    }
    Err(Rejection::new(
        "model/manifest",
        "the module was verified under another manifest",
        "该模块是按另一份清单校验的",
    ))
}

impl Shared {
    /// [`Sandbox::load`] for the sandbox's own measurements, which nobody asks for twice.
    pub(super) fn load(self: &Arc<Self>, verified: &Verified, manifest: &Manifest) -> Result<Model, Rejection> {
        same_manifest(verified, manifest)?;
        self.bring_up(Arc::new(self.compile(verified)?))
    }

    fn containment(&self) -> Containment {
        if self.config.fresh_instances { Containment::Fresh } else { Containment::Undo }
    }

    fn engine(&self, report: &Report) -> &Engine {
        if report.canonical_nan { &self.canonical } else { &self.plain }
    }

    /// A model out of the cache on disk.
    fn cached(&self, name: &Name, digest: &str, manifest: &Manifest) -> Option<Loaded> {
        let Entry { known, artefact } = self.config.cache.as_ref()?.get(name)?;
        let code = compile::load(self.engine(&known.report), artefact)?;
        Some(self.loaded(code, known, digest, manifest))
    }

    /// A model out of the compiler, which is put into the cache.
    fn compile(&self, verified: &Verified) -> Result<Loaded, Rejection> {
        let (report, manifest) = (verified.report(), verified.manifest());
        let plan = Plan::of(verified, self.containment());
        let Rewritten { wasm, bounded } = rewrite::rewrite(verified, &plan).map_err(|_| compile_failed())?;
        let known = Known { bounded, report: report.clone() };
        let target = Target::new(report.canonical_nan);
        let artefact = self.config.compiler.compile(&wasm, target).map_err(not_compiled)?;
        let placed = Placed::copy(&artefact).ok_or_else(compile_failed)?;
        let code = compile::load(self.engine(report), placed).ok_or_else(compile_failed)?;
        if let Some(cache) = &self.config.cache {
            let name = self.generation.name(verified.digest(), manifest);
            // A cache that cannot be written costs the next start its time and nothing else.
            let _ = cache.put(&name, &Entry { known: known.clone(), artefact: &artefact });
        }
        Ok(self.loaded(code, known, verified.digest(), manifest))
    }

    fn loaded(&self, code: Code, known: Known, digest: &str, manifest: &Manifest) -> Loaded {
        let containment = self.containment();
        let Known { bounded, report } = known;
        Loaded {
            code,
            layout: rewrite::layout(manifest, &report, containment),
            fresh: containment == Containment::Fresh && report.class == Class::Contained,
            manifest: manifest.clone(),
            digest: digest.to_owned(),
            report,
            bounded,
            max_unit_time: OnceLock::new(),
        }
    }

    fn bring_up(self: &Arc<Self>, loaded: Arc<Loaded>) -> Result<Model, Rejection> {
        let first = Guest::new(&loaded.code, loaded.manifest.kind()).map_err(|birth| match birth {
            Birth::Guest => Rejection::new(
                "model/start",
                "the module does not come up: a segment lies out of bounds, or its start function traps or does not end within the fuel",
                "模块无法启动：数据段或元素段越界，或启动函数出错、未在燃料限额内结束",
            ),
            Birth::Host => Rejection::new("model/start", "the machine has no room for the module", "系统资源不足，无法启动模块"),
        })?;
        Ok(Model(Arc::new(Inner { sandbox: Arc::clone(self), loaded, idle: Mutex::new(vec![first]) })))
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
        f.debug_struct("Sandbox").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

fn compile_failed() -> Rejection {
    Rejection::new("model/compile", "the module cannot be compiled", "模块无法编译")
}
