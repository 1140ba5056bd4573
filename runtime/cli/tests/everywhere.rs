//! Every command there is, on a home here and on the domain behind a server: the same documents; where a command does not
//! work through a server, it says why.

#![allow(clippy::unwrap_used)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use common::World;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// What is the business of the domain's own machine.
const HERE: [&str; 10] = [
    "demo",
    "init",
    "serve",
    "audit verify",
    "audit rotate-key",
    "audit end-overlap",
    "audit logs",
    "audit seal",
    "audit move",
    "audit add-sm2-key",
];
/// What needs no domain at all, and contacts no server.
const ALONE: [&str; 8] = [
    "key new",
    "model check",
    "model import",
    "model try",
    "consent keygen",
    "consent sign",
    "receipt verify",
    "audit witness",
];

fn yunei(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yunei"));
    command.current_dir(folder).args(["--lang", "en", "--json"]);
    for name in ["YUNEI_HOME", "YUNEI_SERVER", "YUNEI_TOKEN", "YUNEI_PROFILE", "YUNEI_CA", "YUNEI_SIGNING_KEY"] {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", folder.join("no-config"));
    command
}

/// All commands, from what `--help` lists: `word word`. A command that has subcommands and works without one is both.
fn commands() -> BTreeSet<String> {
    fn below(path: &[String], all: &mut BTreeSet<String>) {
        let mut ask = Command::new(env!("CARGO_BIN_EXE_yunei"));
        let help = ask.args(path).arg("--help").output().unwrap();
        let text = String::from_utf8(help.stdout).unwrap();
        let mut lines = text.lines().skip_while(|line| *line != "Commands:").skip(1);
        let mut words: Vec<String> = Vec::new();
        while let Some(line) = lines.next().filter(|line| !line.trim().is_empty()) {
            let word = line.strip_prefix("  ").filter(|l| !l.starts_with(' ')).and_then(|l| l.split(' ').next());
            words.extend(word.filter(|w| *w != "help").map(str::to_owned));
        }
        // Every command has options; one that asks for a subcommand says so in its usage.
        if !path.is_empty()
            && (words.is_empty() || !text.lines().any(|l| l.starts_with("Usage:") && l.ends_with("<COMMAND>")))
        {
            all.insert(path.join(" "));
        }
        for word in words {
            below(&[path, &[word]].concat(), all);
        }
    }
    let mut all = BTreeSet::new();
    below(&[], &mut all);
    all
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    })
}

struct Desk {
    folder: PathBuf,
    server: Child,
    url: String,
    /// The arguments of everything that was done through the server.
    tried: RefCell<Vec<String>>,
}

impl Desk {
    fn serve(folder: &Path) -> Self {
        let mut server = yunei(folder)
            .args(["--home", "home", "serve", "--listen", "127.0.0.1:0", "--data", "."])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let line = lines.map(Result::unwrap).find(|l| l.contains("listening")).unwrap();
        let url = format!("http://{}", line.split('"').nth(3).unwrap());
        Self { folder: folder.to_owned(), server, url, tried: RefCell::default() }
    }

    fn ask(&self, token: &str, arguments: &[&str]) -> Output {
        self.tried.borrow_mut().push(arguments.join(" "));
        yunei(&self.folder).env("YUNEI_TOKEN", token).args(["--server", &self.url]).args(arguments).output().unwrap()
    }

    fn done(&self, token: &str, arguments: &[&str]) -> Value {
        let output = self.ask(token, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        document(&output)
    }

    fn refused(&self, token: &str, arguments: &[&str], code: &str) {
        let told = document(&self.ask(token, arguments));
        assert_eq!(told["refused"][0]["code"], code, "{arguments:?}: {told}");
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

const SQL: &str = "SELECT city, COUNT(*) AS people FROM people WHERE age >= $least GROUP BY city";
const LEAST: &str = "[product.params.least]\ntype = \"int\"\nmin = 0\nmax = 1000\ndefault = 0\n";
const CHECK: &str = "kind = \"verification\"\ntitle = { zh = \"住\", en = \"l\" }\npurposes = [\"loan\"]\ndatasets = [\"people\"]\n\
    [product.verification]\nidentity = [\"id\", \"age\"]\nclaim = { equals = \"city\" }\n";
const MODEL: &str = "[model]\nid = \"burden\"\nversion = \"2.0.0\"\nkind = \"row\"\nfile = \"burden.wat\"\n\
    [[feature]]\nname = \"age\"\ntype = \"f64\"\n[[feature]]\nname = \"income\"\ntype = \"f64\"\n\
    [output]\nmin = 0.0\nmax = 1.0\nstep = 0.001\ndefault = 0.5\n";

/// A home in which something of everything is there, the tokens of its four institutions, and a run.
struct Furnished {
    folder: tempfile::TempDir,
    tokens: [String; 4],
    run: String,
    request: String,
    grant: String,
}

async fn furnished() -> Furnished {
    let world = World::new(600).await;
    world.approve("by-city", &World::product_text("by-city", SQL, LEAST), "operator", &["research"]).await;
    let lives = format!("[product]\nid = \"lives-in\"\n{CHECK}consent = \"not-required\"\nlegal_basis = \"测试\"\n");
    world.approve("lives-in", &lives, "business", &["loan"]).await;
    let run = world.run("by-city", &[], "research").await.unwrap().run;
    let query = yunei_engine::domain::SubjectQuery {
        kind: yunei_engine::registry::RequestKind::Correction,
        dataset: "people".into(),
        subject: "P0000001".into(),
        details: "年龄有误".into(),
    };
    let request = world.domain.file_request("business", &query).await.unwrap().id;
    let grant = world.domain.grants().await.unwrap()[0].id.clone();
    let World { folder, domain } = world;
    domain.close().await;
    let token = |institution: &str| {
        let mut issue = yunei(folder.path());
        issue.args(["--home", "home", "token", "issue", "--institution", institution, "--days", "1"]);
        document(&issue.output().unwrap())["token"].as_str().unwrap().to_owned()
    };
    let tokens = ["holder", "operator", "business", "authority"].map(token);
    Furnished { folder, tokens, run, request, grant }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_is_left_behind() {
    let Furnished { folder, tokens, run, request, grant } = furnished().await;
    let path = folder.path();
    let [holder, operator, business, authority] = tokens;
    let here = |arguments: &[&str]| yunei(path).args(["--home", "home"]).args(arguments).output().unwrap();

    // What is read is the same, here and there.
    let reads: Vec<Vec<&str>> = [
        "token list",
        "key list",
        "institution list",
        "dataset list",
        "dataset show people",
        "model list",
        "model show burden@1.0.0",
        "product list",
        "product show by-city",
        "grant list",
        "releases product by-city",
        "history product by-city",
        "agree by-city --show",
        "due",
        "due --overdue",
        "lapsing",
        "register list",
        "register export",
        "request list",
        "request list --open",
        "issuer list",
        "budget show",
        "budget show by-city --for operator",
        "audit list --last 5",
        "audit list --kind run. --outcome released",
        "audit list --last 3 --before 9",
        "audit show 3",
        "audit stats --product by-city",
        "audit usage --period all",
        "audit prove 3",
        "audit prove --consistency 3",
        "audit checkpoint",
        "verify alarms",
        "audit export -o log.jsonl",
        "audit export -o log.parquet --kind run.",
    ]
    .iter()
    .map(|line| line.split(' ').collect())
    .chain([vec!["request", "show", &request], vec!["receipt", "show", &run]])
    .collect();
    let file = |name: &str| std::fs::read(path.join(name)).unwrap();
    let local: Vec<Value> = reads.iter().map(|read| document(&here(read))).collect();
    assert!(local.iter().all(|answer| answer.get("refused").is_none()), "{local:?}");
    let exported = (file("log.jsonl"), file("log.parquet"));

    let desk = Desk::serve(path);
    for (read, local) in reads.iter().zip(&local) {
        assert_eq!(desk.done(&authority, read), *local, "{read:?}");
    }
    assert_eq!((file("log.jsonl"), file("log.parquet")), exported);
    let csv = ["audit", "usage", "--csv", "usage.csv"];
    desk.done(&authority, &csv);
    assert!(file("usage.csv").starts_with(b"period,institution"));

    // What is written.
    std::fs::write(path.join("model.toml"), MODEL).unwrap();
    std::fs::write(path.join("agreement.txt"), "开放利用协议").unwrap();
    let product = World::product_text("heads", "SELECT city, COUNT(*) AS n FROM people GROUP BY city", "");
    std::fs::write(path.join("heads.toml"), product).unwrap();
    std::fs::write(path.join("many.toml"), format!("[product]\nid = \"many\"\n{CHECK}batch = true\n")).unwrap();
    let word = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();

    let issued = desk.done(&authority, &["token", "issue", "--institution", "holder", "--days", "1"]);
    desk.done(&authority, &["token", "revoke", &word(&issued, "id")]);
    desk.refused(&word(&issued, "token"), &["dataset", "list"], "credential/revoked");
    let key = desk.done(&operator, &["key", "new", "author.pem"]);
    desk.done(&operator, &["key", "add", "author.pem"]);
    desk.done(&operator, &["--signing-key", "author.pem", "model", "submit", "model.toml"]);
    desk.done(&authority, &["model", "approve", "burden@2.0.0"]);
    desk.done(&operator, &["key", "retire", &word(&key, "id")]);
    desk.done(&operator, &["product", "check", "heads.toml"]);
    desk.done(&operator, &["product", "submit", "heads.toml"]);
    desk.refused(&authority, &["product", "approve", "heads"], "authorise/consent");
    assert_eq!(desk.done(&holder, &["agree", "heads"])["consents"][0]["verdict"], "given");
    let approved = desk.done(&authority, &["product", "approve", "heads"]);
    assert!(approved["timing"]["quantum_millis"].as_u64().unwrap() > 0, "{approved}");
    desk.done(&operator, &["product", "submit", "many.toml"]);
    desk.done(&authority, &["decline", "product", "many", "--reason", "缺少附件", "--reason", "用途不明"]);
    let batch =
        format!("[product]\nid = \"many\"\n{CHECK}batch = true\nlegal_basis = \"测试\"\nconsent = \"not-required\"\n");
    std::fs::write(path.join("many.toml"), batch).unwrap();
    desk.done(&operator, &["product", "submit", "many.toml"]);
    desk.done(&holder, &["agree", "many"]);
    desk.done(&authority, &["product", "approve", "many"]);

    let add = ["grant", "add", "--institution", "operator", "--product", "heads"];
    let bare = word(&desk.done(&authority, &add), "grant");
    desk.refused(&operator, &["run", "heads", "--purpose", "research"], "authorise/agreement");
    desk.done(&authority, &["agreement", &bare, "--file", "agreement.txt", "--days", "30"]);
    desk.done(&operator, &["run", "heads", "--purpose", "research", "-o", "out.csv", "--receipt", "out.receipt"]);
    let many = ["grant", "add", "--institution", "business", "--product", "many", "--agreement", "agreement.txt"];
    desk.done(&authority, &many);

    let (city, age, _) = common::person(7);
    let age = format!("age={age}");
    let ask = ["verify", "lives-in", "-i", "id=P0000007", "-i", &age, "--claim", city, "--purpose", "loan"];
    assert_eq!(desk.done(&business, &ask)["answer"], "match");
    // Not one after the other: that would look like guessing.
    let items: String = (0..12)
        .map(|i| i * 47)
        .map(|i| {
            let (city, age, _) = common::person(i);
            let identity = json!({ "id": format!("P{i:07}"), "age": age.to_string() });
            format!("{}\n", json!({ "identity": identity, "claims": { "city": city }, "serial": format!("s{i}") }))
        })
        .collect();
    std::fs::write(path.join("items.jsonl"), items).unwrap();
    let answers =
        desk.done(&business, &["verify", "batch", "many", "items.jsonl", "--purpose", "loan", "-o", "a.jsonl"]);
    let answers = answers["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 12);
    assert!(answers.iter().all(|a| a["answer"] == "match" && a["receipt"].is_string()), "{answers:?}");
    assert_eq!(desk.done(&authority, &["verify", "index", "many"])["index"]["subjects"], 600);
    assert_eq!(desk.done(&authority, &["verify", "audit", "many", "--sample", "50"])["sound"], true);
    desk.refused(&authority, &["verify", "resume", "business", "many"], "verify/not-stopped");

    desk.done(&authority, &["consent", "keygen", "bureau.pem"]);
    let bureau = ["issuer", "add", "bureau", "--key", "bureau.pem.pub", "--zh", "签发局", "--en", "Bureau"];
    desk.done(&authority, &bureau);
    desk.done(&authority, &["issuer", "suspend", "bureau"]);
    desk.done(&authority, &["issuer", "resume", "bureau"]);
    let me = "asked-about-me";
    let sign = |number: &str| {
        let field = format!("number={number}");
        let sign = ["consent", "sign", "--key", "bureau.pem", "--issuer", "bureau", "--domain", "test.example/domain"];
        let rest = ["--business", me, "--product", me, "--purpose", me, "-i", &field, "-o", "me.jws"];
        here(&[&sign[..], &rest[..]].concat())
    };
    // Of all check digits one is right: nobody asked about that person, and nothing is told of the others.
    let told: Vec<Value> = "0123456789X"
        .chars()
        .filter_map(|digit| {
            let number = format!("53010319900101001{digit}");
            assert!(sign(&number).status.success());
            let output = desk.ask(&business, &["verify", "asked", &number, "--consent", "me.jws"]);
            output.status.success().then(|| document(&output)["verifications"].clone())
        })
        .collect();
    assert_eq!(told, [json!([])]);

    let filed = desk.done(
        &business,
        &["request", "file", "--kind", "objection", "--dataset", "people", "--subject", "P1", "--details", "不同意"],
    );
    let filed = word(&filed, "id");
    desk.done(&holder, &["request", "extend", &filed, "--reason", "需核对"]);
    desk.done(&holder, &["request", "answer", &filed, "--outcome", "rejected", "--answer", "经核实无误"]);
    desk.done(&authority, &["register", "renew", "dataset", "people"]);
    desk.done(&authority, &["dataset", "epoch", "people"]);
    desk.done(&authority, &["institution", "add", "bank", "--role", "business", "--zh", "银行", "--en", "Bank"]);
    desk.done(&authority, &["appoint", "auditor", "--office", "audit", "--zh", "审计", "--en", "Auditor"]);
    desk.refused(&authority, &["admit", "bank"], "authorise/own-submission");
    assert_eq!(desk.done(&holder, &["dataset", "register", "people.toml"])["version"], 2);
    desk.refused(&authority, &["dataset", "approve", "people"], "authorise/dataset-state");
    assert_eq!(desk.done(&authority, &["audit", "replay", &run])["identical"], 1);
    desk.done(&authority, &["suspend", "grant", &grant, "--reason", "复核"]);
    desk.done(&authority, &["resume", "grant", &grant, "--reason", "已查明"]);
    desk.done(&authority, &["end", "grant", &grant, "--reason", "到期"]);
    desk.done(&holder, &["withdraw", "version", "people@1", "--reason", "数据有误"]);
    // Where no key is named, the one of the domain that is worked on.
    desk.done(&operator, &["receipt", "verify", "out.receipt", "--data", "out.csv"]);

    // All of them, or a reason.
    let tried = desk.tried.borrow().clone();
    for command in commands() {
        let is_tried = tried.iter().any(|line| line.contains(&format!("{command} ")) || line.ends_with(&command));
        if HERE.contains(&command.as_str()) {
            let mut words: Vec<&str> = command.split(' ').collect();
            if command == "audit move" {
                words.extend(["2025", "elsewhere"]);
            }
            let told = document(&desk.ask(&authority, &words));
            assert_eq!(told["refused"][0]["code"], "input/local-only", "{command}");
            assert!(told["refused"][0]["message"].as_str().unwrap().len() > 60, "{command} says why: {told}");
        } else {
            assert!(
                is_tried || ALONE.contains(&command.as_str()),
                "neither tried on a server nor explained: {command}"
            );
        }
    }
}
