//! What the tests share: recorded vectors, and the way of an imported model through the sandbox.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, StringArray};
use yunei_import::{Imported, Naming, Style};
use yunei_sandbox::{Class, Cost, Manifest, Model, Sandbox, SandboxConfig, Verified};

/// Rows of a model, by the model's own column names, and what its runtime said of them.
pub struct Vectors {
    pub columns: Vec<(String, Vec<String>)>,
    pub answers: Vec<(String, Vec<f64>)>,
    pub rows: usize,
}

pub fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The model file of a name, whatever its ending.
pub fn model_file(name: &str) -> Vec<u8> {
    let endings = ["json", "ubj", "txt", "onnx", "pmml", "card.csv"];
    let found = endings.iter().map(|e| data().join(format!("{name}.{e}"))).find(|p| p.exists());
    std::fs::read(found.unwrap_or_else(|| panic!("no model {name}"))).unwrap()
}

pub fn vectors(name: &str) -> Vectors {
    let text = std::fs::read_to_string(data().join(format!("{name}.csv"))).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut fields: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    let mut rows = 0;
    for line in lines {
        for (list, field) in fields.iter_mut().zip(line.split(',')) {
            list.push(field.to_owned());
        }
        rows += 1;
    }
    let mut out = Vectors { columns: Vec::new(), answers: Vec::new(), rows };
    for (name, list) in names.iter().zip(fields) {
        match name.strip_prefix('=') {
            Some(export) => {
                out.answers.push((export.to_owned(), list.iter().map(|f| f.parse().unwrap_or(f64::NAN)).collect()));
            }
            None => out.columns.push(((*name).to_owned(), list)),
        }
    }
    out
}

pub fn import(bytes: &[u8], style: Style) -> Imported {
    yunei_import::import_styled(bytes, &Naming::default(), style).unwrap_or_else(|wrong| panic!("{}", wrong[0]))
}

/// The manifest of an export.
pub fn manifest(imported: &Imported, export: &str) -> Manifest {
    let parsed = imported.manifests.iter().map(|(_, text)| match Manifest::parse(text) {
        Ok(manifest) => manifest,
        Err(wrong) => panic!("{}\n{text}", wrong[0]),
    });
    parsed.into_iter().find(|m| m.export() == export).unwrap_or_else(|| panic!("no export {export}"))
}

/// Loads an export; checks that it is stateless and bounded, and costs no more than the importer said, and not much less.
pub fn load(imported: &Imported, export: &str) -> Model {
    let manifest = manifest(imported, export);
    let verified = Verified::check(&imported.wasm, &manifest).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
    let report = verified.report();
    assert_eq!(report.class, Class::Stateless, "{report}");
    let said = imported.summary.outputs.iter().find(|o| o.export == export).unwrap().fuel;
    let Cost::Bounded(worst) = report.cost else { panic!("{report}") };
    let slack = worst / 4 + 32 * u64::from(report.functions);
    assert!(worst <= said && said <= worst + slack, "{said} was said: {report}");
    Sandbox::new(SandboxConfig::default()).unwrap().load(&verified, &manifest).unwrap()
}

/// The columns that an imported model asks for, in its order. Categories become their codes.
pub fn columns(imported: &Imported, vectors: &Vectors) -> Vec<ArrayRef> {
    let of = |from: &str| &vectors.columns.iter().find(|(n, _)| n == from).unwrap_or_else(|| panic!("no {from}")).1;
    imported
        .summary
        .features
        .iter()
        .map(|f| {
            let number = |s: &String| {
                if s.is_empty() {
                    return None;
                }
                let code = f.categories.iter().position(|c| c == s).map(|c| c as f64);
                Some(code.unwrap_or_else(|| s.parse().unwrap_or(-1.0)))
            };
            Arc::new(Float64Array::from_iter(of(&f.from).iter().map(number))) as ArrayRef
        })
        .collect()
}

/// What an imported model says of recorded rows, as the sandbox gives it out.
pub fn answers(imported: &Imported, export: &str, vectors: &Vectors) -> Vec<f64> {
    let model = load(imported, export);
    model.score(&columns(imported, vectors), vectors.rows).unwrap().values().to_vec()
}

/// Distance in units of the last place of binary32.
pub fn ulps(a: f64, b: f64) -> u64 {
    let order = |x: f64| {
        let bits = (x as f32).to_bits() as i32;
        i64::from(if bits < 0 { i32::MIN - bits } else { bits })
    };
    order(a).abs_diff(order(b))
}

pub fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
