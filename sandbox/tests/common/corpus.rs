//! The hostile corpus, read from `models/hostile`.

use std::fs;
use std::path::Path;

use yunei_sandbox::{Manifest, Model, Sandbox};

use super::{folder, load, models};

/// The `.wat` files of a folder: name without ending, and text.
pub fn texts(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "wat"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    found.sort();
    found
}

/// The manifest of `credit-risk` or `household-energy`, with more memory and fuel to abuse.
pub fn manifest_for(name: &str) -> Manifest {
    let model = if name.starts_with("unit-") { "household-energy" } else { "credit-risk" };
    let text = fs::read_to_string(models().join(model).join("model.toml")).unwrap();
    let text = text
        .replace("memory_pages = 16", "")
        .replace("[limits]", "[limits]\nmemory_pages = 40")
        .replace("fuel = 100000", "fuel = 1000000");
    Manifest::parse(&text).unwrap()
}

/// Every hostile model that is accepted, on the given sandbox.
pub fn accepted(sandbox: &Sandbox, units: bool) -> Vec<(String, Model)> {
    let mut all: Vec<(String, Model)> = texts(&models().join("hostile"))
        .into_iter()
        .filter(|(name, _)| name.starts_with("unit-") == units)
        .map(|(name, text)| {
            let model = load(sandbox, &manifest_for(&name), text);
            (name, model)
        })
        .collect();
    if !units {
        for name in ["remembers", "remembers-global", "traps-on-target"] {
            all.push((name.to_owned(), folder(sandbox, &format!("hostile/{name}"))));
        }
    }
    all
}
