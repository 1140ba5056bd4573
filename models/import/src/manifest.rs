//! `model.toml` for each output.

use std::fmt::Write;

use crate::codegen::Generated;
use crate::ir::{self, Model, Null, Output, Range};
use crate::naming::{Named, type_word};
use crate::refusal::{Refusal, quote};

/// What is put in place of a bound that is not known.
const UNBOUNDED: f64 = 1e9;
/// The most fuel that a manifest may ask for.
const MOST_FUEL: u64 = 100_000_000;
/// The greatest magnitude that a manifest takes.
const MAGNITUDE: f64 = 1e15;

/// The manifests: file names and texts.
pub(crate) fn all(
    model: &Model,
    named: &Named,
    file: &str,
    generated: &Generated,
) -> Result<Vec<(String, String)>, Vec<Refusal>> {
    let single = model.outputs.len() == 1;
    let one = |output: &Output| {
        let suffix = output.export.replace('_', "-");
        let (id, name) = if single {
            (named.id.clone(), "model.toml".to_owned())
        } else {
            (format!("{}-{suffix}", named.id), format!("model.{suffix}.toml"))
        };
        Ok((name, text(model, named, output, &id, file, generated)?))
    };
    model.outputs.iter().map(one).collect()
}

fn text(
    model: &Model,
    named: &Named,
    output: &Output,
    id: &str,
    file: &str,
    generated: &Generated,
) -> Result<String, Vec<Refusal>> {
    let mut out = String::new();
    let (least, most) = bounds(model, named, output)?;
    let default = named.output.default.unwrap_or(0.0).clamp(least, most);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# {}: {}. Made by `yunei model import`.", model.format, quote(&model.kind));
    let _ = writeln!(out, "[model]\nid = {id:?}\nversion = {:?}\nkind = \"row\"\nfile = {file:?}", named.version);
    if output.export != "score" {
        let _ = writeln!(out, "export = {:?}", output.export);
    }
    for (input, name) in model.inputs.iter().zip(&named.features) {
        let _ = writeln!(out, "\n[[feature]]\nname = {name:?}\ntype = {:?}", type_word(input.num));
        match input.null {
            Null::Nan => out.push_str("missing = nan\n"),
            Null::Value(x) => {
                let _ = writeln!(out, "missing = {x:?}");
            }
            Null::Refused => {}
        }
        if *name != input.name {
            let _ = writeln!(out, "# in the model file: {}", quote(&input.name));
        }
        if let Some((a, b)) = input.range {
            let _ = writeln!(out, "# range: {a} to {b}");
        }
        for (code, category) in input.categories.iter().take(256).enumerate() {
            let _ = writeln!(out, "# {code} = {}", quote(category));
        }
    }
    let what = output.of.as_ref().map(|of| format!(" of {}", quote(of))).unwrap_or_default();
    let _ = writeln!(out, "\n[output] # {}{what}\nmin = {least:?}\nmax = {most:?}", output.meaning);
    if let Some(step) = named.output.step {
        let _ = writeln!(out, "step = {step:?}");
    }
    let _ = writeln!(out, "default = {default:?}");
    let _ = writeln!(
        out,
        "\n[limits]\nmemory_pages = {}\nfuel = {}",
        generated.memory_pages.max(1),
        // Twice the worst case: a sandbox that counts an instruction dearer still finds the model bounded.
        generated.cost.get(&output.export).copied().unwrap_or(0).max(1).saturating_mul(2).min(MOST_FUEL)
    );
    Ok(out)
}

/// The bounds of an output: as they were said, else as they follow from the model, a little wider so that no
/// rounding is cut off.
pub(crate) fn bounds(model: &Model, named: &Named, output: &Output) -> Result<Range, Vec<Refusal>> {
    let (least, most) = ir::of_output(model, output);
    let slack = 1e-6 * (most - least).abs().max(most.abs()).max(least.abs());
    let least = if output.meaning == "probability" || output.meaning == "class" {
        least
    } else {
        outward(least - slack, f64::floor)
    };
    let most = if output.meaning == "probability" || output.meaning == "class" {
        most
    } else {
        outward(most + slack, f64::ceil)
    };
    let known = |x: f64, other: f64| if x.is_finite() && x.abs() <= MAGNITUDE { x } else { other };
    let (mut least, mut most) = (known(least, -UNBOUNDED), known(most, UNBOUNDED));
    if least > most {
        (least, most) = (most, least);
    }
    let (least, most) = (named.output.min.unwrap_or(least), named.output.max.unwrap_or(most));
    if !(least.is_finite() && most.is_finite() && least <= most && least.abs() <= MAGNITUDE && most.abs() <= MAGNITUDE)
    {
        return Err(vec![
            Refusal::new("import/names", "the output's min and max are no range", "输出的 min 与 max 不构成范围")
                .at("output"),
        ]);
    }
    Ok((least, most))
}

/// Whether the bounds of an output follow from the model.
pub(crate) fn is_bounded(model: &Model, output: &Output) -> bool {
    let (least, most) = ir::of_output(model, output);
    least.is_finite() && most.is_finite()
}

/// Rounded outward to six digits, so that a person can read it.
fn outward(x: f64, round: fn(f64) -> f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let digits = 5 - x.abs().log10().floor() as i32;
    if !(-300..=300).contains(&digits) {
        return x;
    }
    let scale = 10_f64.powi(digits.abs());
    if digits >= 0 { round(x * scale) / scale } else { round(x / scale) * scale }
}
