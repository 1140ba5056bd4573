//! The same commands on a home here and on the domain behind a server: the same documents, refusals and exit codes.

#![allow(clippy::unwrap_used)]

#[path = "../../engine/tests/common/mod.rs"]
mod common;

use common::World;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use yunei_audit::Receipt;

const SQL: &str = "SELECT city, COUNT(*) AS people FROM people WHERE age >= $least GROUP BY city";
const LEAST: &str = "[product.params.least]\ntype = \"int\"\nmin = 0\nmax = 1000\ndefault = 0\n";

fn yunei(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yunei"));
    command.current_dir(folder).args(["--lang", "en", "--json"]);
    for name in ["YUNEI_HOME", "YUNEI_SERVER", "YUNEI_TOKEN", "YUNEI_PROFILE", "YUNEI_CA", "YUNEI_SIGNING_KEY"] {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", folder.join("no-config"));
    command
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
        let address = line.split('"').nth(3).unwrap().to_owned();
        Self { folder: folder.to_owned(), server, url: format!("http://{address}") }
    }

    fn ask(&self, token: &str, arguments: &[&str]) -> Output {
        yunei(&self.folder).env("YUNEI_TOKEN", token).args(["--server", &self.url]).args(arguments).output().unwrap()
    }

    /// Ends the server as systemd does.
    fn stop(mut self) {
        let ended = Command::new("kill").arg("-TERM").arg(self.server.id().to_string()).status().unwrap();
        assert!(ended.success());
        assert!(self.server.wait().unwrap().success(), "a stop is no failure");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_works_on_a_server_as_on_a_home() {
    let world = World::new(2_000).await;
    world.approve("by-city", &World::product_text("by-city", SQL, LEAST), "operator", &["research"]).await;
    let check = "[product]\nid = \"lives-in\"\nkind = \"verification\"\ntitle = { zh = \"住\", en = \"l\" }\n\
        purposes = [\"loan\"]\ndatasets = [\"people\"]\n[product.verification]\nidentity = [\"id\", \"age\"]\nclaim = { equals = \"city\" }\n\
    consent = \"not-required\"\nlegal_basis = \"测试\"\n";
    world.approve("lives-in", check, "business", &["loan"]).await;
    let World { folder, domain } = world;
    let key = domain.verifying_key();
    domain.close().await;
    let here = |arguments: &[&str]| yunei(folder.path()).args(["--home", "home"]).args(arguments).output().unwrap();
    let token = |institution: &str| {
        let issued = here(&["token", "issue", "--institution", institution, "--days", "1"]);
        document(&issued)["token"].as_str().unwrap().to_owned()
    };
    let (authority, operator, business) = (token("authority"), token("operator"), token("business"));
    let lists: [&[&str]; 10] = [
        &["dataset", "list"],
        &["dataset", "show", "people"],
        &["model", "list"],
        &["model", "show", "burden@1.0.0"],
        &["product", "list"],
        &["product", "show", "by-city"],
        &["grant", "list"],
        &["institution", "list"],
        &["key", "list"],
        &["token", "list"],
    ];
    let local: Vec<Value> = lists.iter().map(|list| document(&here(list))).collect();

    let desk = Desk::serve(folder.path());
    for (list, local) in lists.iter().zip(&local) {
        assert_eq!(document(&desk.ask(&authority, list)), *local, "{list:?}");
    }
    // The home is held by the server now.
    assert_eq!(here(&["dataset", "list"]).status.code(), Some(5));

    let run =
        ["run", "by-city", "--purpose", "research", "-p", "least=30", "-o", "out.csv", "--receipt", "out.receipt"];
    let ran = document(&desk.ask(&operator, &run));
    assert_eq!((ran["repeated"].as_bool(), ran["rows"].as_array().unwrap().len()), (Some(false), 3), "{ran}");
    let receipt =
        Receipt::parse(&std::fs::read(folder.path().join("out.receipt")).unwrap()).unwrap().verify(&key).unwrap();
    let csv = std::fs::read(folder.path().join("out.csv")).unwrap();
    let digest: String =
        ring::digest::digest(&ring::digest::SHA256, &csv).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(receipt.body()["released"]["csv"], digest.as_str());
    let again = document(&desk.ask(&operator, &run));
    assert_eq!((again["repeated"].as_bool(), &again["run"], &again["rows"]), (Some(true), &ran["run"], &ran["rows"]));
    let shown = document(&desk.ask(&operator, &["receipt", "show", ran["run"].as_str().unwrap()]));
    assert_eq!(shown, ran["receipt"]);

    let (city, age, _) = common::person(7);
    let age = format!("age={age}");
    let ask = ["verify", "lives-in", "-i", "id=P0000007", "-i", &age, "--claim", city, "--purpose", "loan"];
    assert_eq!(document(&desk.ask(&business, &ask))["answer"], "match");

    // A model: made, signed, handed in, approved.
    std::fs::write(folder.path().join("model.toml"), MODEL).unwrap();
    let made = document(&desk.ask(&operator, &["key", "new", "author.pem"]));
    assert_eq!(document(&desk.ask(&operator, &["key", "add", "author.pem"]))["id"], made["id"]);
    let unsigned = desk.ask(&operator, &["model", "submit", "model.toml"]);
    assert_eq!(unsigned.status.code(), Some(2), "a signing key is needed");
    let submit = ["--signing-key", "author.pem", "model", "submit", "model.toml"];
    assert_eq!(document(&desk.ask(&operator, &submit))["state"], "submitted");
    assert_eq!(document(&desk.ask(&authority, &["model", "approve", "burden@2.0.0"]))["state"], "approved");

    // Refusals with their codes and exit codes.
    let refused = |token: &str, arguments: &[&str], code: &str, exit: i32| {
        let output = desk.ask(token, arguments);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(document(&output)["refused"][0]["code"], code, "{arguments:?}");
    };
    refused(&operator, &["run", "by-city", "--purpose", "marketing"], "authorise/purpose", 3);
    refused(&operator, &["run", "by-city", "--purpose", "research", "-p", "least=x"], "parameter/value", 2);
    refused(&business, &["budget", "show"], "authorise/role", 3);
    refused(&operator, &["dataset", "show", "nothing"], "registry/not-found", 4);
    refused("yunei_wrong", &["dataset", "list"], "credential/unknown", 3);
    refused("", &["dataset", "list"], "input/token", 2);
    refused(&operator, &["--as", "authority", "dataset", "list"], "input/as", 2);
    assert_eq!(desk.ask(&authority, &["suspend", "product", "by-city", "--reason", "review"]).status.code(), Some(0));
    refused(&operator, &run, "authorise/product-state", 3);
    desk.stop();

    let reopened = document(&here(&["audit", "verify"]));
    assert_eq!(reopened["verified"], true);
    let mut gone = yunei(folder.path());
    gone.env("YUNEI_TOKEN", &operator).args(["--server", "http://127.0.0.1:1", "grant", "list"]);
    assert_eq!(gone.output().unwrap().status.code(), Some(5));
}

const MODEL: &str = "[model]\nid = \"burden\"\nversion = \"2.0.0\"\nkind = \"row\"\nfile = \"burden.wat\"\n\
    [[feature]]\nname = \"age\"\ntype = \"f64\"\n[[feature]]\nname = \"income\"\ntype = \"f64\"\n\
    [output]\nmin = 0.0\nmax = 1.0\nstep = 0.001\ndefault = 0.5\n";

/// A profile is read by its owner alone, and its faults do not quote it.
#[test]
#[cfg(unix)]
fn profiles() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.toml");
    let told = || {
        let output = yunei(folder.path()).args(["--profile", "profile.toml", "dataset", "list"]).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    std::fs::write(&path, "server = \"http://127.0.0.1:1\"\ntoken = \"yunei_secret\"\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, text) = told();
    assert!(code == 2 && text.contains("input/profile"), "{text}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (code, text) = told();
    assert!(code == 5 && text.contains("server/unreachable"), "{text}");
    std::fs::write(&path, "token = \"yunei_secret\nserver = 1").unwrap();
    let (code, text) = told();
    assert!(code == 2 && !text.contains("yunei_secret"), "{text}");
}
