//! Runs.

use super::{Context, Draft, Outcome, usage};
use crate::args::RunArgs;
use crate::face::Ran;
use crate::term::{Cell, Column, Table, decimal, plus_minus};
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::util::display::array_value_to_string;
use serde_json::{Value, json};
use yunei_engine::{Format, RunRequest};

/// At most how many rows a terminal is shown.
const MAX_SHOWN: usize = 200;

pub(crate) async fn run(context: &mut Context, args: RunArgs) -> Outcome {
    let format = match &args.output {
        None => None,
        Some(path) => Some(Format::of_path(path).ok_or_else(|| {
            usage(
                "input/output",
                "输出文件须以 .json、.csv、.arrow 或 .parquet 结尾",
                "the output ends in .json, .csv, .arrow or .parquet",
            )
        })?),
    };
    // Where it goes is made sure of before anything is charged.
    let output = args.output.as_deref().map(Draft::create).transpose()?;
    let receipt = args.receipt.as_deref().map(Draft::create).transpose()?;
    let domain = context.face().await?;
    let request = RunRequest {
        institution: context.actor("operator"),
        product: args.product,
        arguments: args.parameters.into_iter().collect(),
        purpose: args.purpose,
    };
    let label = context.term.pick("在域内运行", "Running inside the domain").to_owned();
    let spinner = context.term.spinner(&label);
    let answer = domain.run(&request, format).await;
    spinner.done();
    let answer = answer?;
    let whole = output.is_none();
    if let (Some(output), Some(format)) = (output, format) {
        output.finish(&answer.bytes(format)?)?;
    }
    if let Some(receipt) = receipt {
        receipt.finish(answer.receipt.to_string().as_bytes())?;
    }
    if context.term.is_json() {
        let rows: Value = serde_json::from_slice(&answer.bytes(Format::Json)?).unwrap_or(Value::Null);
        let names = answer.batch().schema();
        let names: Vec<&str> = names.fields().iter().map(|f| f.name().as_str()).collect();
        context.term.json(&json!({
            "run": answer.run, "product": request.product, "columns": names, "rows": rows, "repeated": answer.repeated,
            "charge": { "epsilon": answer.epsilon, "delta": answer.delta }, "receipt": answer.receipt.to_json(),
        }));
        return Ok(());
    }
    context.term.heading(&request.product);
    if whole {
        let table = table(&answer);
        context.term.table(&table);
    }
    notes(context, &answer);
    Ok(())
}

fn notes(context: &mut Context, answer: &Ran) {
    let charge = if answer.repeated {
        context
            .term
            .pick("问题与之前相同：给出已记录的结果，不扣预算。", "Asked before: the recorded answer again, free.")
            .to_owned()
    } else {
        let text = context.term.pick("本次扣除", "Charged").to_owned();
        format!("{text} ε = {} (δ = {:e})", decimal(answer.epsilon, 3), answer.delta)
    };
    context.term.note(&charge);
    let run = context.term.pick("使用编号", "Run").to_owned();
    context.term.note(&format!("{run}: {}  #{}", answer.run, answer.receipt.index()));
}

/// The released rows with each number beside half the width of its interval.
fn table(released: &Ran) -> Table {
    let batch = released.batch();
    let schema = batch.schema();
    let own: Vec<usize> = (0..released.columns()).collect();
    let mut table = Table::new(own.iter().map(|i| {
        let field = schema.field(*i);
        if field.data_type().is_numeric() { Column::right(field.name()) } else { Column::left(field.name()) }
    }));
    for row in 0..batch.num_rows().min(MAX_SHOWN) {
        table.row(own.iter().map(|i| Cell::from(cell(batch, *i, row))));
    }
    table
}

fn cell(batch: &RecordBatch, column: usize, row: usize) -> String {
    let schema = batch.schema();
    let field = schema.field(column);
    let array = batch.column(column);
    if array.is_null(row) {
        return "–".to_owned();
    }
    let number = |name: &str| {
        let array = cast(batch.column_by_name(name)?, &DataType::Float64).ok()?;
        let array = array.as_primitive::<Float64Type>();
        array.is_valid(row).then(|| array.value(row))
    };
    let (low, high) = (number(&format!("{}_low", field.name())), number(&format!("{}_high", field.name())));
    let value = number(field.name()).filter(|_| field.data_type().is_numeric());
    match (value, low, high) {
        (Some(value), Some(low), Some(high)) => {
            let half = (high - low) / 2.0;
            let places = if field.data_type().is_integer() {
                0
            } else if value.abs() < 10.0 {
                4
            } else {
                2
            };
            plus_minus(value, half, places)
        }
        (Some(value), _, _) if !field.data_type().is_integer() => decimal(value, 4),
        _ => array_value_to_string(array, row).unwrap_or_default(),
    }
}
