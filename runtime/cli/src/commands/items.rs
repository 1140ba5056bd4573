//! Datasets, models, products.

use super::{Context, Outcome};
use crate::args::{DatasetCommand, ItemCommand};
use crate::face::Face;
use crate::term::{Column, Mark, Table, count, decimal};
use serde_json::{Value, json};
use std::path::Path;
use yunei_engine::TimingView;
use yunei_engine::domain::{Checkup, ColumnView, DatasetView};
use yunei_engine::{Domain, DomainError, Submission};
use yunei_policy::Refusal;
use yunei_policy::words::{ReleaseClass, State};

pub(crate) async fn dataset(context: &mut Context, command: DatasetCommand) -> Outcome {
    let domain = context.face().await?;
    match command {
        DatasetCommand::Register { file, no_publish } => register(context, &domain, &file, !no_publish).await,
        DatasetCommand::Approve { id } => {
            domain.set_dataset_state(&context.actor("authority"), &id, State::Approved).await?;
            state(context, &id, State::Approved);
            Ok(())
        }
        DatasetCommand::Epoch { id } => epoch(context, &domain, &id).await,
        DatasetCommand::List => {
            let all = domain.datasets().await?;
            if context.term.is_json() {
                context.term.json(&json!({ "datasets": all }));
                return Ok(());
            }
            let lang = context.term.lang();
            let headings = [
                ("数据集", "Dataset"),
                ("名称", "Title"),
                ("版本", "Version"),
                ("行数", "Rows"),
                ("发布类别", "Release"),
                ("状态", "State"),
            ];
            let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
            for d in &all {
                let release = format!("{:?}", d.release).to_lowercase();
                table.row([
                    d.id.clone(),
                    d.title.get(lang).to_owned(),
                    d.version.to_string(),
                    count(d.rows),
                    release,
                    d.state.to_string(),
                ]);
            }
            context.term.table(&table);
            Ok(())
        }
        DatasetCommand::Show { id, column } => {
            let dataset = domain.dataset(&id).await?;
            let column = column.map(|name| column_of(&dataset, &name)).transpose()?;
            match (context.term.is_json(), column) {
                (true, None) => context.term.json(&dataset),
                (true, Some(column)) => context.term.json(column),
                (false, None) => show_dataset(context, &dataset),
                (false, Some(column)) => show_column(context, &dataset, column),
            }
            Ok(())
        }
    }
}

fn column_of<'a>(dataset: &'a DatasetView, name: &str) -> Result<&'a ColumnView, DomainError> {
    dataset.columns.iter().find(|c| c.name == name).ok_or_else(|| {
        let names: Vec<&str> = dataset.columns.iter().map(|c| c.name.as_str()).collect();
        let names = names.join(", ");
        Refusal::new("dataset/unknown-column", "该数据集没有此列", "the dataset has no such column")
            .hint(format!("该数据集的列：{names}"), format!("its columns: {names}"))
            .into()
    })
}

fn show_dataset(context: &mut Context, dataset: &DatasetView) {
    let lang = context.term.lang();
    context.term.heading(&format!("{}  {}", dataset.id, dataset.title.get(lang)));
    let facts = [
        (context.term.pick("提供单位", "Provider").to_owned(), dataset.provider.clone()),
        (context.term.pick("状态", "State").to_owned(), dataset.state.to_string()),
        (context.term.pick("版本", "Version").to_owned(), dataset.version.to_string()),
        (context.term.pick("行数", "Rows").to_owned(), count(dataset.rows)),
        (context.term.pick("预算期", "Budget epoch").to_owned(), dataset.epoch.to_string()),
    ];
    let facts: Vec<(&str, String)> = facts.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    context.term.facts(&facts);
    let headings = [("列", "Column"), ("类型", "Type"), ("类别", "Class"), ("取值", "Holds"), ("用途", "Usages")];
    let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
    for c in &dataset.columns {
        table.row([c.name.clone(), c.kind.clone(), c.class.clone(), holds(c, SHOWN), c.usages.join(", ")]);
    }
    context.term.table(&table);
}

/// How many values of a column stand in the table of its dataset.
const SHOWN: usize = 3;

/// What a column may hold: its range, or its values, at most so many of them.
fn holds(column: &ColumnView, most: usize) -> String {
    let Some(all) = column.values else {
        return column.range.as_ref().map(|(lo, hi)| format!("{lo} … {hi}")).unwrap_or_default();
    };
    let mut text = column.listed.iter().take(most).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all > most.min(column.listed.len()) {
        text.push_str(&format!(", … ({all})"));
    }
    text
}

fn show_column(context: &mut Context, dataset: &DatasetView, column: &ColumnView) {
    let lang = context.term.lang();
    context.term.heading(&format!("{}.{}", dataset.id, column.name));
    let meaning = column.meaning.as_ref().map(|m| m.get(lang).to_owned()).unwrap_or_default();
    let facts = [
        (context.term.pick("含义", "Meaning").to_owned(), meaning),
        (context.term.pick("类型", "Type").to_owned(), column.kind.clone()),
        (context.term.pick("类别", "Class").to_owned(), column.class.clone()),
        (context.term.pick("用途", "Usages").to_owned(), column.usages.join(", ")),
        (context.term.pick("取值", "Holds").to_owned(), holds(column, usize::MAX)),
    ];
    let facts: Vec<(&str, String)> =
        facts.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.as_str(), v.clone())).collect();
    context.term.facts(&facts);
}

async fn register(context: &mut Context, domain: &Face, file: &Path, publish: bool) -> Outcome {
    let label = context.term.pick("核对数据", "Checking the data").to_owned();
    let bar = context.term.bar(&label, 100);
    let progress = std::sync::Arc::new(bar);
    let shown = std::sync::Arc::clone(&progress);
    let actor = context.actor("holder");
    let submission = domain
        .register_dataset(&actor, file, move |done, total| shown.set(done.saturating_mul(100) / total.max(1)))
        .await;
    if let Ok(bar) = std::sync::Arc::try_unwrap(progress).map_err(drop) {
        bar.done();
    }
    let mut submission: Submission = submission?;
    // Behind a server the authority publishes by itself.
    if publish && !domain.is_remote() && submission.state == State::Submitted {
        domain.set_dataset_state("authority", &submission.id, State::Approved).await?;
        submission.state = State::Approved;
    }
    if context.term.is_json() {
        context.term.json(&json!({
            "dataset": submission.id, "version": submission.version, "rows": submission.rows, "state": submission.state,
        }));
        return Ok(());
    }
    let done = context.term.pick("已登记", "Registered").to_owned();
    let rows = context.term.pick("行", "rows").to_owned();
    let text = format!(
        "{done}: {}@{}  {} {rows}  {}",
        submission.id,
        submission.version.unwrap_or_default(),
        count(submission.rows.unwrap_or_default()),
        submission.state
    );
    context.term.item(Mark::Done, &text);
    Ok(())
}

fn state(context: &mut Context, id: &str, state: State) {
    if context.term.is_json() {
        context.term.json(&json!({ "id": id, "state": state }));
    } else {
        context.term.item(Mark::Done, &format!("{id}: {state}"));
    }
}

pub(crate) async fn model(context: &mut Context, command: ItemCommand) -> Outcome {
    if let ItemCommand::Check { file } = &command {
        // The verifier needs no domain.
        let checkup = Domain::check_model(file)?;
        checked(context, &checkup);
        return Ok(());
    }
    let domain = context.face().await?;
    match command {
        ItemCommand::Check { .. } => {}
        ItemCommand::Submit { file } => {
            let submission = domain.submit_model(&context.actor("operator"), &file).await?;
            state(context, &submission.id, submission.state);
        }
        ItemCommand::Approve { id } => {
            domain.set_model_state(&context.actor("authority"), &id, State::Approved).await?;
            state(context, &id, State::Approved);
        }
        ItemCommand::List => {
            let all = domain.models().await?;
            if context.term.is_json() {
                context.term.json(&json!({ "models": all }));
                return Ok(());
            }
            let headings = [("模型", "Model"), ("状态", "State"), ("提交者", "Submitted by"), ("模块摘要", "Module")];
            let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
            for m in &all {
                table.row([
                    m.id.clone(),
                    m.state.to_string(),
                    m.submitted_by.clone(),
                    m.module.chars().take(16).collect(),
                ]);
            }
            context.term.table(&table);
        }
        ItemCommand::Show { id } => {
            let model = domain.model(&id).await?;
            if context.term.is_json() {
                context.term.json(&model);
                return Ok(());
            }
            context.term.heading(&model.id);
            let report = serde_json::to_string_pretty(&model.report).unwrap_or_default();
            context.term.text(&format!("{}  {}\n{}\n{report}", model.state, model.submitted_by, model.module));
        }
    }
    Ok(())
}

async fn epoch(context: &mut Context, domain: &Face, id: &str) -> Outcome {
    let epoch = domain.open_epoch(&context.actor("authority"), id).await?;
    if context.term.is_json() {
        context.term.json(&json!({ "id": id, "epoch": epoch }));
        return Ok(());
    }
    let text = context.term.pick("预算期", "budget epoch").to_owned();
    context.term.item(Mark::Done, &format!("{id}: {text} {epoch}"));
    Ok(())
}

pub(crate) async fn product(context: &mut Context, command: ItemCommand) -> Outcome {
    let domain = context.face().await?;
    match command {
        ItemCommand::Check { file } => {
            let checkup = domain.check_product(&file).await?;
            checked(context, &checkup);
        }
        ItemCommand::Submit { file } => {
            let submission = domain.submit_product(&context.actor("operator"), &file).await?;
            state(context, &submission.id, submission.state);
        }
        ItemCommand::Approve { id } => {
            let timing = domain.approve_product(&context.actor("authority"), &id).await?;
            approved(context, &id, timing.as_ref());
        }
        ItemCommand::List => {
            let all = domain.products().await?;
            if context.term.is_json() {
                context.term.json(&json!({ "products": all }));
                return Ok(());
            }
            let lang = context.term.lang();
            let headings =
                [("产品", "Product"), ("名称", "Title"), ("种类", "Kind"), ("用途", "Purposes"), ("状态", "State")];
            let mut table = Table::new(headings.map(|(zh, en)| Column::left(context.term.pick(zh, en))));
            for p in &all {
                table.row([
                    p.id.clone(),
                    p.title.get(lang).to_owned(),
                    p.kind.to_owned(),
                    p.purposes.join(", "),
                    p.state.to_string(),
                ]);
            }
            context.term.table(&table);
        }
        ItemCommand::Show { id } => {
            let (view, product) = domain.product(&id).await?;
            if context.term.is_json() {
                let mut value = serde_json::to_value(&view).unwrap_or(Value::Null);
                value["manifest"] = product.text().into();
                context.term.json(&value);
                return Ok(());
            }
            let lang = context.term.lang();
            context.term.heading(&format!("{}  {}  {}", view.id, view.title.get(lang), view.state));
            context.term.text(product.text());
        }
    }
    Ok(())
}

/// What an approval is told besides: how much the time of a run can tell.
fn approved(context: &mut Context, id: &str, timing: Option<&TimingView>) {
    if context.term.is_json() {
        context.term.json(&json!({ "id": id, "state": State::Approved, "timing": timing }));
        return;
    }
    context.term.item(Mark::Done, &format!("{id}: {}", State::Approved));
    time(context, timing);
}

fn time(context: &mut Context, timing: Option<&TimingView>) {
    let Some(timing) = timing else { return };
    let text = match context.term.lang() {
        yunei_policy::Lang::Zh => format!(
            "结果按每 {} 毫秒一次的随机时刻发出；单个主体最多使其改变的概率为 {:.3} %",
            timing.quantum_millis,
            timing.shift * 100.0
        ),
        yunei_policy::Lang::En => format!(
            "Results leave at ticks of {} ms at a random phase; one unit moves the tick with at most {:.3} % probability",
            timing.quantum_millis,
            timing.shift * 100.0
        ),
    };
    context.term.note(&text);
}

fn checked(context: &mut Context, checkup: &Checkup) {
    if context.term.is_json() {
        context.term.json(checkup);
        return;
    }
    let fine = context.term.pick("可以提交", "Nothing stands against it").to_owned();
    context.term.item(Mark::Done, &format!("{}: {fine}", checkup.id));
    if let Some(report) = &checkup.report_text {
        context.term.text(report);
    }
    let free = match checkup.class {
        Some(ReleaseClass::Statistical) => Some(context.term.pick(
            "不消耗隐私预算：结果按统计披露控制处理",
            "No privacy budget is charged: the result is under statistical disclosure control",
        )),
        Some(ReleaseClass::Open) => Some(
            context
                .term
                .pick("不消耗隐私预算：所用数据均为开放数据", "No privacy budget is charged: all of its data is open"),
        ),
        _ => None,
    };
    if let Some(free) = free.map(str::to_owned) {
        context.term.note(&free);
    } else if let (Some(epsilon), Some(delta)) = (checkup.epsilon, checkup.delta) {
        let charge = context.term.pick("每次使用", "Each run costs").to_owned();
        context.term.note(&format!("{charge} ε = {} (δ = {delta:e})", decimal(epsilon, 3)));
    }
    time(context, checkup.timing.as_ref());
    if checkup.expected.is_empty() {
        return;
    }
    let mut table = Table::new([
        Column::left(context.term.pick("数值", "Number")),
        Column::right(context.term.pick("预计误差（95 %）", "Expected error (95 %)")),
    ]);
    let over = context.term.pick("÷ 该格行数", "÷ rows of the cell").to_owned();
    for e in &checkup.expected {
        let width = match (e.half_width, e.half_width_times_rows) {
            (Some(width), _) => format!("± {}", decimal(width, 2)),
            (None, Some(width)) => format!("± {} {over}", decimal(width, 2)),
            (None, None) => "–".to_owned(),
        };
        table.row([e.aggregate.clone(), width]);
    }
    context.term.table(&table);
}
