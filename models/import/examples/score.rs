//! Runs a model file over rows in the sandbox: `score MODEL ROWS EXPORT ANSWERS [STYLE] [TIMES]`.
//!
//! `score MODEL --describe` prints what was understood of the file, as JSON, or why it is refused (exit 3); `score MODEL --into FOLDER` writes module and manifests there.
//!
//! ROWS and ANSWERS are raw little-endian binary64; a row has a value for each column of the file, in the order of the
//! names in COLUMNS (`MODEL.columns`, one per line). Missing values are NaN. With TIMES the rows are scored so many
//! times and the best time is printed, in nanoseconds per row. With a folder in `YUNEI_ARTEFACTS` the machine code stays
//! there, for a disassembler.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use arrow_array::{Array, ArrayRef, Float32Array, Float64Array};
use yunei_import::{Naming, Style};
use yunei_sandbox::{ArtefactCache, CacheKey, Manifest, Sandbox, SandboxConfig, Verified};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let bytes = std::fs::read(&args[0]).unwrap();
    if args[1] == "--describe" {
        match yunei_import::import(&bytes, &Naming::default()) {
            Ok(imported) => println!("{}", serde_json::to_string(&imported.summary).unwrap()),
            Err(wrong) => {
                println!("{}", serde_json::to_string(&wrong).unwrap());
                std::process::exit(3);
            }
        }
        return;
    }
    if args[1] == "--into" {
        let folder = std::path::Path::new(&args[2]);
        let imported = yunei_import::import(&bytes, &Naming::default()).unwrap_or_else(|w| panic!("{}", w[0]));
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(&imported.file), &imported.wasm).unwrap();
        imported.manifests.iter().for_each(|(name, text)| std::fs::write(folder.join(name), text).unwrap());
        return;
    }
    let names = std::fs::read_to_string(format!("{}.columns", args[0])).unwrap();
    let names: Vec<&str> = names.lines().collect();
    let raw = std::fs::read(&args[1]).unwrap();
    let values: Vec<f64> = raw.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    let rows = values.len() / names.len();
    let style = match args.get(4).map(String::as_str) {
        Some("nested") => Style::Nested,
        Some("lanes") => Style::Lanes,
        _ => Style::Auto,
    };
    let start = Instant::now();
    let imported =
        yunei_import::import_styled(&bytes, &Naming::default(), style).unwrap_or_else(|w| panic!("{}", w[0]));
    let took_import = start.elapsed();
    let find = |m: &&Manifest| m.export() == args[2];
    let manifests: Vec<Manifest> = imported.manifests.iter().map(|(_, t)| Manifest::parse(t).unwrap()).collect();
    let manifest = manifests.iter().find(find).unwrap();
    let verified = Verified::check(&imported.wasm, manifest).unwrap_or_else(|w| panic!("{}", w[0]));
    let start = Instant::now();
    let config = match std::env::var_os("YUNEI_ARTEFACTS") {
        Some(folder) => SandboxConfig::default().cache(ArtefactCache::new(folder, CacheKey::new(&[0; 32]))),
        None => SandboxConfig::default(),
    };
    let model = Sandbox::new(config).unwrap().load(&verified, manifest).unwrap();
    let took_compile = start.elapsed();
    let columns: Vec<ArrayRef> = imported
        .summary
        .features
        .iter()
        .map(|f| {
            let i = names.iter().position(|n| *n == f.from).unwrap();
            let column = (0..rows).map(|r| values[r * names.len() + i]);
            // NaN goes in as NULL: the manifest says what a NULL is.
            let column = column.map(|x| (!x.is_nan()).then_some(x));
            match f.kind {
                "f32" => Arc::new(Float32Array::from_iter(column.map(|x| x.map(|x| x as f32)))) as ArrayRef,
                _ => Arc::new(Float64Array::from_iter(column)) as ArrayRef,
            }
        })
        .collect();
    let scores = model.score(&columns, rows).unwrap();
    let out: Vec<u8> =
        (0..rows).flat_map(|i| if scores.is_null(i) { f64::NAN } else { scores.value(i) }.to_le_bytes()).collect();
    std::fs::write(&args[3], out).unwrap();
    let times: usize = args.get(5).map_or(0, |t| t.parse().unwrap());
    let mut best = f64::INFINITY;
    for _ in 0..times {
        let start = Instant::now();
        std::hint::black_box(model.score(&columns, rows).unwrap());
        best = best.min(start.elapsed().as_nanos() as f64 / rows as f64);
    }
    println!(
        "{{\"import_ms\":{},\"compile_ms\":{},\"module_bytes\":{},\"class\":\"{}\",\"cost\":\"{}\",\"lanes\":{},\"trees\":{},\"ns_per_row\":{}}}",
        took_import.as_millis(),
        took_compile.as_millis(),
        imported.wasm.len(),
        verified.report().class,
        verified.report().cost,
        imported.summary.trees_in_lanes,
        imported.summary.trees,
        if times > 0 { best.to_string() } else { "null".to_owned() },
    );
}
