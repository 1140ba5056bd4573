//! The story of `yunei demo`: from an uploaded model to a receipt, and the leaks that do not work.

mod ground;
mod leaks;
mod report;
mod show;
mod stage;
mod stop;
mod uses;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use yunei_audit::{Log, Receipt, VerifyingKey};
use yunei_engine::Domain;
use yunei_policy::Lang;

use crate::demo::data::Sizes;
use crate::term::{Mark, Term, count};

use ground::Ground;
use report::Report;
use stop::Stop;

/// What every table of the demo is drawn from.
pub(crate) const SEED: u64 = 20_261_123;

/// Everything that a chapter of the story needs.
struct Stage<'a> {
    term: &'a mut Term,
    ground: &'a Ground,
    domain: &'a Domain,
    sizes: Sizes,
    report: &'a mut Report,
}

/// Tells the story on `rows` residents; the exit code.
///
/// The home stays in `keep` where it is given (an empty or absent folder), else in a folder that is removed at the end.
/// 0: everything came out as it should; 1: a leak was not held; else the code of what went wrong.
pub(crate) async fn run(rows: u64, keep: Option<PathBuf>, lang: Option<Lang>, json: bool) -> u8 {
    tell(rows, keep, Term::stdout(lang, json)).await
}

/// The same on any terminal.
async fn tell(rows: u64, keep: Option<PathBuf>, mut term: Term) -> u8 {
    let mut report = Report::new(rows);
    let told = told(rows, keep, &mut term, &mut report).await;
    let code = match told {
        Ok(()) if report.is_as_it_should_be() => 0,
        Ok(()) => 1,
        Err(stop) => {
            stop.show(&mut term);
            report.stopped(&stop, term.lang());
            stop.exit_code()
        }
    };
    report.close(code);
    term.json(&report);
    match term.finish() {
        Ok(()) => code,
        Err(_) => 1,
    }
}

async fn told(rows: u64, keep: Option<PathBuf>, term: &mut Term, report: &mut Report) -> Result<(), Stop> {
    let sizes = Sizes::of(rows)?;
    let ground = Ground::prepare(keep)?;
    opening(term, sizes);
    stage::write_files(term, &ground, sizes)?;
    let domain = stage::create(&ground).await?;
    let told = {
        let mut stage = Stage { term, ground: &ground, domain: &domain, sizes, report };
        chapters(&mut stage).await
    };
    domain.close().await;
    told?;
    closing(term, &ground, report);
    Ok(())
}

async fn chapters(stage: &mut Stage<'_>) -> Result<(), Stop> {
    stage::register(stage).await?;
    stage::approve(stage).await?;
    uses::products(stage).await?;
    uses::verifications(stage).await?;
    leaks::all(stage).await?;
    audit(stage)
}

fn opening(term: &mut Term, sizes: Sizes) {
    let [people, meters, firms] = [sizes.residents(), sizes.metered(), sizes.enterprises()].map(count);
    let text = match term.lang() {
        Lang::Zh => format!(
            "虚构的数据：{people} 位居民，其中 {meters} 位有十二个月的用电记录，另有 {firms} 家企业。\
             数据留在域内；模型进来，结果出去。"
        ),
        Lang::En => format!(
            "Invented data: {people} residents, {meters} of them with twelve months of electricity, and {firms} \
             enterprises. The data stay in the domain; models come in, results go out."
        ),
    };
    let heading = term.pick("一次完整的使用", "The whole way once").to_owned();
    term.heading(&heading);
    term.text(&text);
}

/// The log checked entry by entry, then every receipt with nothing but the public key.
fn audit(stage: &mut Stage<'_>) -> Result<(), Stop> {
    let heading = stage.term.pick("审计", "Audit").to_owned();
    stage.term.heading(&heading);
    let home = stage.ground.home();
    let text = std::fs::read_to_string(home.join("keys/log.vkey"))?;
    let key: VerifyingKey = text.trim().parse().map_err(|_| Stop::Audit("keys/log.vkey"))?;
    let verdict = Log::verify(&home.join("log"), &key, &mut |_, _| ()).map_err(|e| Stop::Audit(e.code()))?;
    let entries = count(verdict.size());
    let line = match stage.term.lang() {
        Lang::Zh => format!("日志逐条验证无误：共 {entries} 条，根 {}", verdict.root_hex()),
        Lang::En => format!("The log verifies entry by entry: {entries} of them, root {}", verdict.root_hex()),
    };
    stage.term.item(Mark::Done, &line);
    let mut good = 0_u64;
    let receipts = stage.ground.receipts()?;
    for receipt in &receipts {
        Receipt::parse(receipt).and_then(|r| r.verify(&key)).map_err(|e| Stop::Audit(e.code()))?;
        good += 1;
    }
    let line = match stage.term.lang() {
        Lang::Zh => format!("{good} 份凭证只凭公钥离线验证无误"),
        Lang::En => format!("{good} receipts verified offline, with the public key alone"),
    };
    stage.term.item(Mark::Done, &line);
    stage.report.audited(verdict.size(), verdict.root_hex(), good);
    Ok(())
}

fn closing(term: &mut Term, ground: &Ground, report: &mut Report) {
    term.blank();
    if let Some(kept) = ground.kept() {
        let line = match term.lang() {
            Lang::Zh => format!("域已保留，可继续使用：yunei --home {} product list", kept.join("home").display()),
            Lang::En => {
                format!("The domain stays, to play on: yunei --home {} product list", kept.join("home").display())
            }
        };
        term.text(&line);
    }
    let (held, tried) = report.leaks_held();
    let line = match term.lang() {
        Lang::Zh => format!("{tried} 种泄露尝试，{held} 种被拒绝或失效"),
        Lang::En => format!("{tried} leaks tried, {held} refused or neutralised"),
    };
    term.item(if held == tried { Mark::Done } else { Mark::Failed }, &line);
}
