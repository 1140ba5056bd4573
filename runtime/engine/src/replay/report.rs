//! What a replay says: step by step, what was recorded, what was found, and whether they are the same.

use serde::{Deserialize, Serialize};
use yunei_policy::Text;

/// How a replay is to be done.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReplayOptions {
    /// Replays under the rules and policies of the day of the run, which the domain keeps, although others may be in force
    /// now. Without it, rules or policies that are no longer the recorded ones are a difference.
    pub recorded_policy: bool,
}

/// What is compared, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The receipt, against the log.
    Receipt,
    /// The product's manifest.
    Product,
    /// The numbers of the policy.
    Rules,
    /// Who may do what.
    Policies,
    /// A dataset version's catalogue entry.
    Entry,
    /// A dataset version's files, each digested again.
    Files,
    /// A model's manifest.
    Manifest,
    /// A model's module.
    Module,
    /// The parameters.
    Parameters,
    /// Whom a verification was about, against the commitment in the log.
    Subject,
    /// The question: all of the above in one digest.
    Question,
    /// The plan.
    Plan,
    /// What it costs.
    Charge,
    /// The seed of the noise.
    Seed,
    /// The exact sums that execution gave.
    Sums,
    /// The answer of a verification.
    Answer,
    /// The codes of a refusal.
    Codes,
    /// The released bytes, in one of their forms.
    Release,
    /// The release as the domain keeps it.
    Kept,
}

impl Step {
    /// The step for people.
    pub fn title(self) -> Text {
        let (zh, en) = match self {
            Step::Receipt => ("凭证与日志", "receipt and log"),
            Step::Product => ("产品清单", "product manifest"),
            Step::Rules => ("规则数值", "rules (numbers of the policy)"),
            Step::Policies => ("授权策略", "policies (who may do what)"),
            Step::Entry => ("目录条目", "catalogue entry"),
            Step::Files => ("数据文件", "data files"),
            Step::Manifest => ("模型清单", "model manifest"),
            Step::Module => ("模型模块", "model module"),
            Step::Parameters => ("参数", "parameters"),
            Step::Subject => ("被核验人", "subject of the verification"),
            Step::Answer => ("核验结论", "answer"),
            Step::Codes => ("拒绝代码", "codes of the refusal"),
            Step::Question => ("问题", "question"),
            Step::Plan => ("执行计划", "plan"),
            Step::Charge => ("预算扣除", "charge"),
            Step::Seed => ("噪声种子", "seed of the noise"),
            Step::Sums => ("执行（精确和）", "execution (exact sums)"),
            Step::Release => ("发布的结果", "released bytes"),
            Step::Kept => ("留存的结果", "kept release"),
        };
        Text::new(zh, en)
    }
}

/// How a comparison came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// As recorded.
    Same,
    /// Not as recorded.
    Differs,
    /// Not looked at, because an earlier step differs: with other inputs nothing is executed.
    NotReached,
}

/// One comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    /// The step.
    pub step: Step,
    /// What exactly: a dataset and file, a model, a form; empty where the step says it all.
    pub what: String,
    /// How it came out.
    pub finding: Finding,
    /// The recorded digest or number, where it is public.
    pub recorded: Option<String>,
    /// The one found now. Only of inputs: what is computed from data is never told, not even as a digest.
    pub found: Option<String>,
    /// More, for people: for example which number of the rules.
    pub note: Option<Text>,
}

/// What a replay found. The verdict is all that leaves; the result itself is dropped.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplayReport {
    /// The replayed run.
    pub run: String,
    /// Whether everything came out as recorded.
    pub identical: bool,
    /// The comparisons, in order.
    pub comparisons: Vec<Comparison>,
    /// The release of the runtime that made the run, and the one that replays it. Where they differ, plan and bytes may.
    pub runtime: (Option<String>, String),
    /// Where the verdict stands in the log.
    pub log_index: u64,
}

impl ReplayReport {
    /// The first comparison that differs.
    pub fn first_difference(&self) -> Option<&Comparison> {
        self.comparisons.iter().find(|c| c.finding == Finding::Differs)
    }

    /// All that differ.
    pub fn differences(&self) -> impl Iterator<Item = &Comparison> {
        self.comparisons.iter().filter(|c| c.finding == Finding::Differs)
    }
}
