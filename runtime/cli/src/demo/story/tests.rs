//! The story told, and everything it leaves searched.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use yunei_policy::Lang;

use super::{SEED, tell};
use crate::demo::data::{Needles, Sizes, forbidden_strings};
use crate::term::{Look, Term};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn story(rows: u64, lang: Lang, json: bool, keep: Option<&Path>) -> (u8, Vec<u8>) {
    let page = Page::default();
    let look = Look { lang, json, colour: false, bars: false, width: None };
    let code = tell(rows, keep.map(Path::to_owned), Term::to(look, Box::new(page.clone()))).await;
    let bytes = page.0.lock().expect("one thread").clone();
    (code, bytes)
}

fn files(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(fs::read(path).expect("readable"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_leaves_holds_an_identity_number_or_a_name() {
    let rows = 2_000;
    let keep = tempfile::tempdir().expect("a folder");
    let (code, out) = story(rows, Lang::En, true, Some(keep.path())).await;
    let document: Value = serde_json::from_slice(&out).expect("one JSON document");
    assert_eq!(code, 0, "{document:#}");
    assert_eq!(document["ok"], true);
    let leaks = document["leaks"].as_array().expect("leaks");
    assert!(leaks.len() >= 8);
    assert!(leaks.iter().all(|leak| leak["outcome"] != "leaked"));

    let needles = Needles::new(forbidden_strings(SEED, Sizes::of(rows).expect("in range")).map(|(_, text)| text));
    assert!(needles.len() > 2_000);
    let mut left = vec![out];
    for folder in ["home/log", "home/files", "receipts", "results"] {
        let before = left.len();
        files(&keep.path().join(folder), &mut left);
        assert!(left.len() > before, "{folder}");
    }
    for bytes in &left {
        assert_eq!(needles.find(bytes), None);
    }
    // The search itself works: the data has them all.
    let who = crate::demo::data::resident(SEED, 0);
    assert!(needles.contains_any(format!("x{}y", who.name).as_bytes()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_is_told_in_both_languages() {
    let needles = Needles::new(forbidden_strings(SEED, Sizes::of(500).expect("in range")).map(|(_, text)| text));
    for (lang, word) in [(Lang::Zh, "普通引擎"), (Lang::En, "a plain engine")] {
        let (code, out) = story(500, lang, false, None).await;
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(word));
        assert_eq!(needles.find(text.as_bytes()), None);
    }
}

#[tokio::test]
async fn a_folder_in_use_and_too_few_rows_are_refused_at_once() {
    let keep = tempfile::tempdir().expect("a folder");
    fs::write(keep.path().join("mine"), b"").expect("written");
    assert_eq!(story(500, Lang::En, false, Some(keep.path())).await.0, 2);
    assert_eq!(fs::read_dir(keep.path()).expect("a folder").count(), 1);
    assert_eq!(story(9, Lang::Zh, false, None).await.0, 2);
}
