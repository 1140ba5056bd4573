//! What people see on a terminal: headings, paragraphs, tables, figures, bars; in their language, and calmly.
//!
//! Everything shown passes through [`clean`], so that a title written by an operator cannot move the cursor or turn
//! the text round. With `--json` nothing of this is printed: stdout carries one JSON document and no more.

mod language;
mod number;
mod progress;
mod style;
mod table;
mod wrap;

#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use yunei_policy::Lang;

pub(crate) use language::{language, parse_language};
pub(crate) use number::{count, decimal, duration, percent, plus_minus, size};
pub(crate) use progress::Bar;
pub(crate) use style::{Tone, clean};
pub(crate) use table::{Cell, Column, Table};

use style::Painter;

/// Paragraphs are not set wider than this, however wide the terminal is.
const WIDEST_PARAGRAPH: usize = 100;

/// What stands before a line of the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// ✓ done
    Done,
    /// ✗ not done
    Failed,
    /// ■ refused, as it should be
    Refused,
    /// · one of several
    Point,
}

impl Mark {
    fn sign(self) -> (&'static str, Tone) {
        match self {
            Self::Done => ("✓", Tone::Good),
            Self::Failed => ("✗", Tone::Bad),
            Self::Refused => ("■", Tone::Warn),
            Self::Point => ("·", Tone::Quiet),
        }
    }
}

/// How the terminal is to be used; [`Look::of_process`] finds out, tests say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// The language of every text.
    pub(crate) lang: Lang,
    /// One JSON document instead of a story.
    pub(crate) json: bool,
    /// Whether stdout takes colours.
    pub(crate) colour: bool,
    /// Whether bars move on stderr.
    pub(crate) bars: bool,
    /// Columns of the terminal; `None` where stdout is not one: then nothing is folded.
    pub(crate) width: Option<usize>,
}

impl Look {
    /// What this process's terminal, environment and flags ask for.
    ///
    /// Colours need a terminal, a `TERM` other than `dumb`, and no `NO_COLOR` (<https://no-color.org>).
    pub(crate) fn of_process(lang: Option<Lang>, json: bool) -> Self {
        let env = |name: &str| std::env::var(name).ok();
        let plain = env("NO_COLOR").is_some_and(|v| !v.is_empty()) || env("TERM").is_some_and(|v| v == "dumb");
        let terminal = io::stdout().is_terminal();
        Self {
            lang: language(lang, env),
            json,
            colour: terminal && !plain && !json,
            bars: io::stderr().is_terminal() && !json,
            width: if terminal {
                console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
            } else {
                None
            },
        }
    }
}

/// The terminal.
///
/// Printing never fails at the place of printing: the first error is kept, what follows is dropped, and
/// [`Term::finish`] tells. A reader that has gone away (`yunei … | head`) is not an error.
pub(crate) struct Term {
    look: Look,
    painter: Painter,
    out: Box<dyn Write + Send>,
    broken: Option<io::Error>,
    /// Whether the one document is out: what fails after it shows in the exit code.
    told: bool,
}

impl Term {
    /// The terminal of this process.
    pub(crate) fn stdout(lang: Option<Lang>, json: bool) -> Self {
        Self::to(Look::of_process(lang, json), Box::new(io::stdout()))
    }

    /// A terminal that writes to `out`.
    pub(crate) fn to(look: Look, out: Box<dyn Write + Send>) -> Self {
        Self { look, painter: Painter::new(look.colour), out, broken: None, told: false }
    }

    /// The language of every text.
    pub(crate) fn lang(&self) -> Lang {
        self.look.lang
    }

    /// Whether one JSON document is wanted instead of a story.
    pub(crate) fn is_json(&self) -> bool {
        self.look.json
    }

    /// The form of a text in this terminal's language.
    pub(crate) fn pick<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        match self.look.lang {
            Lang::Zh => zh,
            Lang::En => en,
        }
    }

    /// A line that opens a part, with space around it.
    pub(crate) fn heading(&mut self, text: &str) {
        let text = clean(text);
        let rule = "─".repeat(wrap::width(&text).min(self.paragraph_width()));
        let (text, rule) = (self.painter.paint(Tone::Strong, &text), self.painter.paint(Tone::Quiet, &rule));
        self.line("");
        self.line(&text);
        self.line(&rule);
    }

    /// A paragraph, folded to the terminal; `\n` ends a line.
    pub(crate) fn text(&mut self, text: &str) {
        self.folded(text, "", "", Tone::Plain);
    }

    /// A remark below something else: indented and quiet.
    pub(crate) fn note(&mut self, text: &str) {
        self.folded(text, "  ", "  ", Tone::Quiet);
    }

    /// A line with a sign before it.
    pub(crate) fn item(&mut self, mark: Mark, text: &str) {
        let (sign, tone) = mark.sign();
        let sign = format!("{} ", self.painter.paint(tone, sign));
        self.folded(text, &sign, "  ", Tone::Plain);
    }

    /// Names and values, the values aligned.
    pub(crate) fn facts(&mut self, facts: &[(&str, String)]) {
        let names: Vec<String> = facts.iter().map(|(name, _)| clean(name)).collect();
        let widest = names.iter().map(|name| wrap::width(name)).max().unwrap_or(0);
        for (name, (_, value)) in names.iter().zip(facts) {
            let gap = " ".repeat(widest - wrap::width(name) + 2);
            let lead = format!("  {}{gap}", self.painter.paint(Tone::Quiet, name));
            self.folded(value, &lead, &" ".repeat(widest + 4), Tone::Plain);
        }
    }

    /// A table, indented by two.
    pub(crate) fn table(&mut self, table: &Table) {
        let width = self.look.width.map(|columns| columns.saturating_sub(2));
        for line in table.render(width, self.painter) {
            self.line(&format!("  {line}"));
        }
    }

    /// A text that another program reads, as it is: control characters are taken out, nothing is folded.
    pub(crate) fn raw(&mut self, text: &str) {
        if !self.look.json {
            self.write(&clean(text));
        }
    }

    /// Brings out what was printed so far, for work that goes on for long after it.
    pub(crate) fn flush(&mut self) {
        if self.broken.is_none()
            && let Err(error) = self.out.flush()
        {
            self.keep(error);
        }
    }

    /// An empty line.
    pub(crate) fn blank(&mut self) {
        self.line("");
    }

    /// The one JSON document, pretty and with a line end. Printed with `--json` alone, and once:
    /// a second one is dropped.
    pub(crate) fn json(&mut self, document: &impl Serialize) {
        if !self.look.json || std::mem::replace(&mut self.told, true) {
            return;
        }
        match serde_json::to_string_pretty(document) {
            Ok(text) => self.write(&format!("{text}\n")),
            Err(error) => self.keep(error.into()),
        }
    }

    /// A bar for work of `total` steps. It moves on stderr and is gone when the work is done.
    pub(crate) fn bar(&self, label: &str, total: u64) -> Bar {
        Bar::counting(self.look.bars, &clean(label), total)
    }

    /// A sign of life for work of unknown length, on stderr, gone when the work is done.
    pub(crate) fn spinner(&self, label: &str) -> Bar {
        Bar::spinning(self.look.bars, &clean(label))
    }

    /// Flushes, and tells whether all of it was printed.
    ///
    /// # Errors
    /// The first error of the stream, but for a reader that has gone away.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.broken.is_none()
            && let Err(error) = self.out.flush()
        {
            self.keep(error);
        }
        match self.broken {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    fn paragraph_width(&self) -> usize {
        self.look.width.map_or(usize::MAX, |columns| columns.min(WIDEST_PARAGRAPH))
    }

    /// A paragraph with `first` before its first line and `rest`, which has the same width, before the others.
    fn folded(&mut self, text: &str, first: &str, rest: &str, tone: Tone) {
        let room = self.paragraph_width().saturating_sub(wrap::width(rest)).max(20);
        for (n, line) in wrap::fold(&clean(text), room).iter().enumerate() {
            let lead = if n == 0 { first } else { rest };
            let line = format!("{lead}{}", self.painter.paint(tone, line));
            self.line(&line);
        }
    }

    fn line(&mut self, text: &str) {
        if !self.look.json {
            self.write(&format!("{}\n", text.trim_end()));
        }
    }

    fn write(&mut self, text: &str) {
        if self.broken.is_none()
            && let Err(error) = self.out.write_all(text.as_bytes())
        {
            self.keep(error);
        }
    }

    fn keep(&mut self, error: io::Error) {
        self.broken.get_or_insert(error);
    }
}
