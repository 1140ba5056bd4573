//! Writes the log that the conformance scripts give to other people's verifiers:
//! `conformance_log DIR COUNT` leaves in DIR the log (`log/`), its public key (`vkey`), a witness's
//! (`witness-vkey`), an inclusion proof of every 97th entry (`proof-N`), consistency proofs
//! (`consistency-OLD-NEW`) with the roots they connect (`root-N`), and a receipt with its body.

use std::error::Error;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Map;
use yunei_audit::{
    Archive, Entry, Options, SigningKey, Trust, Witness, WitnessKey, WitnessServer, WitnessState, receipt_digest,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, dir, count] = arguments.as_slice() else { return Err("conformance_log DIR COUNT".into()) };
    let (dir, count) = (Path::new(dir), count.parse::<u64>()?);
    fs::create_dir_all(dir)?;
    let key = SigningKey::generate("conformance.example/log")?;
    let trust = Trust::new(key.verifying_key());
    fs::write(dir.join("vkey"), format!("{}\n", key.verifying_key()))?;

    let cosigner = SigningKey::generate("witness.example/authority")?;
    let witness_key = WitnessKey::of(&cosigner);
    fs::write(dir.join("witness-vkey"), format!("{witness_key}\n"))?;
    let state = WitnessState::open(&dir.join("witness"), cosigner, vec![key.verifying_key()])?;
    let server = WitnessServer::start(TcpListener::bind("127.0.0.1:0")?, state)?;
    let witness = Witness::new(witness_key, &format!("http://{}", server.address()))?;

    let log = Options::new(key).witness(witness).create(&dir.join("log"))?;
    let mut body = Map::new();
    body.insert("run".into(), "r-1".into());
    body.insert("institution".into(), "某银行".into());
    for n in 0..count {
        let mut fields = Map::new();
        fields.insert("n".into(), n.into());
        fields.insert("receipt".into(), receipt_digest(&body)?.into());
        log.append(Entry::new("conformance/entry", 1_763_900_000_000 + n as i64, fields)?)?;
        if n == count / 2 {
            // A partial publication on the way, as a monitor would see it.
            log.publish()?;
            fs::copy(dir.join("log/public/checkpoint"), dir.join("checkpoint-half"))?;
        }
    }
    log.publish()?;
    let receipt = log.receipt(&log.position(count / 3)?, body)?;
    fs::write(dir.join("receipt"), receipt.to_string())?;
    drop(log);

    let archive = Archive::open(&dir.join("log"), &trust)?;
    for index in (0..count).step_by(97) {
        fs::write(dir.join(format!("proof-{index}")), archive.prove_inclusion(index)?)?;
        fs::write(dir.join(format!("entry-{index}")), archive.entry(index)?.bytes())?;
    }
    for old in (1..count).step_by(131) {
        let lines: String =
            archive.prove_consistency(old, count)?.iter().map(|hash| STANDARD.encode(hash) + "\n").collect();
        fs::write(dir.join(format!("consistency-{old}-{count}")), lines)?;
    }
    Ok(())
}
