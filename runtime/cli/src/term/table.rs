//! Tables whose columns line up when half of the characters are two columns wide.

use comfy_table::{CellAlignment, ContentArrangement};

use super::style::{Painter, Tone, clean};

/// A column: its heading, and on which side its cells begin.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    heading: String,
    right: bool,
}

impl Column {
    /// Of texts.
    pub(crate) fn left(heading: &str) -> Self {
        Self { heading: heading.to_owned(), right: false }
    }

    /// Of figures.
    pub(crate) fn right(heading: &str) -> Self {
        Self { heading: heading.to_owned(), right: true }
    }
}

/// What stands in one place of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A text in a tone.
    pub(crate) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(Tone::Plain, text)
    }
}

/// A table: a row of headings, a thin line, the rows. No borders.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// `comfy_table`'s preset string: nothing but the line under the headings.
const PRESET: &str = "     ─             ";

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row. Missing cells are empty, cells beyond the last column are dropped.
    pub(crate) fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        let mut row: Vec<Cell> = cells.into_iter().map(Into::into).take(self.columns.len()).collect();
        row.resize_with(self.columns.len(), || Cell::from(""));
        self.rows.push(row);
        self
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, folded to `width` columns where it is given.
    pub(super) fn render(&self, width: Option<usize>, painter: Painter) -> Vec<String> {
        let mut table = comfy_table::Table::new();
        table.load_preset(PRESET);
        match width.and_then(|columns| u16::try_from(columns).ok()) {
            Some(columns) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table.set_header(self.columns.iter().map(|column| marked(&column.heading, Tone::Quiet)));
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| marked(&cell.text, cell.tone)));
        }
        for (n, column) in self.columns.iter().enumerate() {
            let Some(drawn) = table.column_mut(n) else { continue };
            drawn.set_padding((0, if n + 1 < self.columns.len() { 2 } else { 0 }));
            if column.right {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.lines().map(|line| painted(line.trim_end(), painter)).collect()
    }
}

/// The invisible character that says of the one before it which tone it has. `comfy_table` without its terminal
/// feature would count an escape sequence as text; these count as nothing, fold with their character, and cannot
/// come from a cell, because [`clean`] takes them out.
fn marker(tone: Tone) -> Option<char> {
    match tone {
        Tone::Plain => None,
        Tone::Strong => Some('\u{2060}'),
        Tone::Quiet => Some('\u{2061}'),
        Tone::Good => Some('\u{2062}'),
        Tone::Warn => Some('\u{2063}'),
        Tone::Bad => Some('\u{2064}'),
    }
}

fn tone_of(marker: char) -> Option<Tone> {
    match marker {
        '\u{2060}' => Some(Tone::Strong),
        '\u{2061}' => Some(Tone::Quiet),
        '\u{2062}' => Some(Tone::Good),
        '\u{2063}' => Some(Tone::Warn),
        '\u{2064}' => Some(Tone::Bad),
        _ => None,
    }
}

/// The text on one line, each visible character followed by the marker of its tone.
fn marked(text: &str, tone: Tone) -> String {
    let text = clean(text).replace('\n', " ");
    match marker(tone) {
        None => text,
        Some(marker) => text.chars().flat_map(|c| [Some(c), (c != ' ').then_some(marker)]).flatten().collect(),
    }
}

/// The line with markers turned into colours, runs of one tone together.
fn painted(line: &str, painter: Painter) -> String {
    let mut done = String::with_capacity(line.len());
    let mut run = (Tone::Plain, String::new());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let tone = chars.next_if(|&next| tone_of(next).is_some()).and_then(tone_of).unwrap_or_default();
        if tone != run.0 {
            done.push_str(&painter.paint(run.0, &run.1));
            run = (tone, String::new());
        }
        run.1.push(c);
    }
    done.push_str(&painter.paint(run.0, &run.1));
    done
}
