//! What is printed, to the letter.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;

const PLAIN: Look = Look { lang: Lang::Zh, json: false, colour: false, bars: false, width: None };

/// What a terminal was sent.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<u8>>>);

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sent(look: Look, print: impl FnOnce(&mut Term)) -> String {
    let sent = Sent::default();
    let mut term = Term::to(look, Box::new(sent.clone()));
    print(&mut term);
    term.finish().expect("a vector takes everything");
    let bytes = sent.0.lock().expect("one thread").clone();
    String::from_utf8(bytes).expect("UTF-8")
}

fn cities() -> Table {
    let mut table =
        Table::new([Column::left("州市"), Column::right("人数"), Column::right("平均风险"), Column::left("结论")]);
    table.row([Cell::from("昆明"), count(179_240).into(), plus_minus(0.2431, 0.0012, 4).into(), "可发布".into()]);
    table.row([
        Cell::from("西双版纳"),
        count(980).into(),
        plus_minus(0.3, 0.02, 4).into(),
        Cell::toned(Tone::Warn, "不发布"),
    ]);
    table.row([Cell::from("Pu'er 普洱"), count(12).into(), "–".into()]);
    table
}

#[test]
fn a_table_with_chinese_cells() {
    insta::assert_snapshot!(sent(PLAIN, |term| term.table(&cities())), @r#"
    州市           人数         平均风险  结论
    ────────────────────────────────────────────
    昆明        179,240  0.2431 ± 0.0012  可发布
    西双版纳        980  0.3000 ± 0.0200  不发布
    Pu'er 普洱       12                –
    "#);
}

#[test]
fn a_table_folded_to_a_narrow_terminal() {
    let look = Look { width: Some(36), ..PLAIN };
    let mut table = Table::new([Column::left("做法"), Column::left("结果")]);
    table.row(["只查一个人的收入", "被拒绝：列 id_number 不能用于筛选"]);
    table.row(["MIN(income)", "refused: a least value is somebody's value"]);
    let text = sent(look, |term| term.table(&table));
    assert!(text.lines().all(|line| wrap::width(line) <= 36));
    insta::assert_snapshot!(text, @r#"
    做法              结果
    ──────────────────────────────────
    只查一个人的收入  被拒绝：列
                      id_number
                      不能用于筛选
    MIN(income)       refused: a least
                      value is
                      somebody's value
    "#);
}

#[test]
fn a_table_in_colour() {
    let look = Look { colour: true, ..PLAIN };
    insta::assert_snapshot!(sent(look, |term| term.table(&cities())).replace('\u{1b}', "^"), @r#"
    ^[2m州市^[0m           ^[2m人数^[0m         ^[2m平均风险^[0m  ^[2m结论^[0m
    ────────────────────────────────────────────
    昆明        179,240  0.2431 ± 0.0012  可发布
    西双版纳        980  0.3000 ± 0.0200  ^[33m不发布^[0m
    Pu'er 普洱       12                –
    "#);
}

#[test]
fn colours_change_nothing_but_colours() {
    for width in [None, Some(30), Some(50)] {
        let coloured = sent(Look { colour: true, width, ..PLAIN }, |term| term.table(&cities()));
        let mut bare = coloured.clone();
        for code in ["\u{1b}[2m", "\u{1b}[33m", "\u{1b}[0m"] {
            bare = bare.replace(code, "");
        }
        assert_ne!(bare, coloured);
        assert_eq!(bare, sent(Look { width, ..PLAIN }, |term| term.table(&cities())));
    }
}

#[test]
fn a_row_is_cut_or_filled_to_the_columns() {
    let mut table = Table::new([Column::left("a"), Column::left("b")]);
    assert!(table.is_empty());
    table.row(["1", "2", "3"]).row(["4"]);
    assert!(!table.is_empty());
    insta::assert_snapshot!(sent(PLAIN, |term| term.table(&table)), @r#"
    a  b
    ────
    1  2
    4
    "#);
}

#[test]
fn a_story() {
    let look = Look { width: Some(44), ..PLAIN };
    let text = sent(look, |term| {
        term.heading("一、目录登记");
        term.text("数据提供单位登记三个数据集。原始数据始终留在域内（DESIGN §2），只有统计结果和核验结论可以离开。");
        term.item(Mark::Done, "residents:1,000,000 行，摘要已写入日志");
        term.item(Mark::Refused, "查询一个人的收入：列 id_number 不能用于筛选，请改用 age 或 city 等列");
        term.note("普通引擎会直接给出答案。");
        term.facts(&[("数据集", "residents".to_owned()), ("ε", "0.5 (δ = 1e-7)".to_owned())]);
        term.blank();
    });
    assert!(text.lines().all(|line| wrap::width(line) <= 44));
    insta::assert_snapshot!(text, @r#"
    一、目录登记
    ────────────
    数据提供单位登记三个数据集。原始数据始终留在
    域内（DESIGN §2），只有统计结果和核验结论可
    以离开。
    ✓ residents:1,000,000 行，摘要已写入日志
    ■ 查询一个人的收入：列 id_number 不能用于筛
      选，请改用 age 或 city 等列
      普通引擎会直接给出答案。
      数据集  residents
      ε       0.5 (δ = 1e-7)
    "#);
}

#[test]
fn the_same_story_in_english_and_colour() {
    let look = Look { lang: Lang::En, colour: true, width: Some(40), ..PLAIN };
    let text = sent(look, |term| {
        term.heading("1  Registering");
        term.item(Mark::Failed, "the log of the domain does not verify: entry 12 was changed");
        term.item(Mark::Point, term.pick("中文", "English").to_owned().as_str());
    });
    insta::assert_snapshot!(text.replace('\u{1b}', "^"), @r#"
    ^[1m1  Registering^[0m
    ^[2m──────────────^[0m
    ^[31m✗^[0m the log of the domain does not verify:
      entry 12 was changed
    ^[2m·^[0m English
    "#);
}

#[test]
fn json_is_one_document_and_no_story() {
    let print = |term: &mut Term| {
        term.heading("标题");
        term.text("正文");
        term.table(&cities());
        term.facts(&[("a", "b".to_owned())]);
        term.blank();
        term.json(&serde_json::json!({ "refused": [] }));
    };
    let json = sent(Look { json: true, ..PLAIN }, print);
    assert_eq!(json, "{\n  \"refused\": []\n}\n");
    assert!(!sent(PLAIN, print).contains("refused"));
}

#[test]
fn texts_of_others_cannot_touch_the_terminal() {
    assert_eq!(clean("a\u{1b}[31mb\u{7}\r\nc\td\u{9b}2J\re"), "a�[31mb�\nc d�2J�e");
    assert_eq!(clean("甲\u{202e}乙\u{200b}\u{2061}\u{feff}"), "甲�乙���");
    assert_eq!(clean("学历 ≥ 本科 — é"), "学历 ≥ 本科 — é");
    let hostile = "\u{1b}]0;x\u{7}\u{2064}";
    let text = sent(Look { colour: false, ..PLAIN }, |term| {
        term.heading(hostile);
        term.text(hostile);
        term.item(Mark::Done, hostile);
        term.facts(&[(hostile, hostile.to_owned())]);
        let mut table = Table::new([Column::left(hostile)]);
        table.row([format!("{hostile}\nsecond")]);
        term.table(&table);
    });
    assert!(text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{2064}')));
    assert_eq!(text.lines().last(), Some("  �]0;x�� second"));
}

#[test]
fn folding_keeps_words_and_marks_together() {
    assert_eq!(wrap::fold("one two three", 7), ["one two", "three"]);
    assert_eq!(wrap::fold("one two three", 8), ["one two", "three"]);
    assert_eq!(wrap::fold("incomprehensible word", 5), ["incomprehensible", "word"]);
    assert_eq!(wrap::fold("原始数据不出域。", 8), ["原始数据", "不出域。"]);
    // The full stop may not begin a line: the character before it goes with it.
    assert_eq!(wrap::fold("原始数据不出域。", 14), ["原始数据不出", "域。"]);
    assert_eq!(wrap::fold("数据（可用）不可见", 6), ["数据", "（可", "用）不", "可见"]);
    assert_eq!(wrap::fold("a\n\nb", 10), ["a", "", "b"]);
    assert_eq!(wrap::fold("", 10), [""]);
    assert_eq!(wrap::fold("甲乙", 1), ["甲", "乙"]);
}

#[test]
fn figures() {
    assert_eq!([0_i64, 7, 999, 1_000, -1_234_567].map(count).join(" "), "0 7 999 1,000 -1,234,567");
    assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    assert_eq!(count(i128::MIN), "-170,141,183,460,469,231,731,687,303,715,884,105,728");
    assert_eq!(decimal(1_234.5, 2), "1,234.50");
    assert_eq!(decimal(-0.04, 1), "0.0");
    assert_eq!(decimal(-999.96, 1), "-1,000.0");
    assert_eq!(decimal(12.5, 0), "12");
    assert_eq!((decimal(f64::NAN, 1), decimal(f64::INFINITY, 0)), ("–".to_owned(), "–".to_owned()));
    assert_eq!(percent(0.125, 1), "12.5 %");
    assert_eq!(plus_minus(12_345.0, 67.0, 0), "12,345 ± 67");
    assert_eq!(
        [0, 1_023, 1_024, 1_536, 1_048_575, 1 << 20].map(size).join(" | "),
        "0 B | 1023 B | 1.0 KiB | 1.5 KiB | 1.0 MiB | 1.0 MiB"
    );
    assert_eq!(size(u64::MAX), "16,777,216.0 TiB");
    let times = [0, 999, 1_000, 59_949, 59_950, 200_400].map(Duration::from_millis);
    assert_eq!(times.map(duration).join(" | "), "0 ms | 999 ms | 1.0 s | 59.9 s | 1 min 0 s | 3 min 20 s");
}

#[test]
fn the_language_is_the_flag_or_the_locale() {
    let env = |pairs: &'static [(&str, &str)]| {
        move |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
    };
    assert_eq!(language(None, env(&[])), Lang::En);
    assert_eq!(language(None, env(&[("LANG", "zh_CN.UTF-8")])), Lang::Zh);
    assert_eq!(language(None, env(&[("LANG", "ZH-hans")])), Lang::Zh);
    assert_eq!(language(None, env(&[("LANG", "zha_CN.UTF-8")])), Lang::En);
    assert_eq!(language(None, env(&[("LC_ALL", ""), ("LANG", "zh_CN")])), Lang::Zh);
    assert_eq!(language(None, env(&[("LC_MESSAGES", "en_US.UTF-8"), ("LANG", "zh_CN")])), Lang::En);
    assert_eq!(language(None, env(&[("LC_ALL", "C"), ("LC_MESSAGES", "zh_CN"), ("LANG", "zh_CN")])), Lang::En);
    assert_eq!(language(Some(Lang::En), env(&[("LC_ALL", "zh_CN")])), Lang::En);
    assert_eq!(language(Some(Lang::Zh), env(&[])), Lang::Zh);
    assert_eq!((parse_language("zh"), parse_language("en")), (Ok(Lang::Zh), Ok(Lang::En)));
    assert!(parse_language("fr").is_err());
}

/// A stream that fails with one kind of error.
struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_and_a_reader_gone_is_not() {
    for (kind, fine) in [(io::ErrorKind::StorageFull, false), (io::ErrorKind::BrokenPipe, true)] {
        let mut term = Term::to(PLAIN, Box::new(Broken(kind)));
        term.text("甲");
        term.text("乙");
        assert_eq!(term.finish().is_ok(), fine);
    }
}

#[test]
fn bars_without_a_terminal_are_silent() {
    let term = Term::to(PLAIN, Box::new(Sent::default()));
    let bar = term.bar("生成数据", 10);
    bar.set(4);
    bar.done();
    term.spinner("编译模型").done();
    assert!(!term.is_json());
    assert_eq!(term.lang(), Lang::Zh);
}
