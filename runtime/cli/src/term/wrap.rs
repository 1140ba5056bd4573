//! Paragraphs folded to a width, Chinese between characters and English between words.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that a text takes on a terminal. It must be clean of control characters.
pub(super) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Marks that may not begin a line (a choice from GB/T 15834 and JIS X 4051).
const CLOSING: &str = "，。、；：！？）】》〉」』”’…—·％,.;:!?)]}%";
/// Marks that may not end a line.
const OPENING: &str = "（【《〈「『“‘([{";

/// The lines of a text, each at most `room` columns but for words that are longer by themselves. `\n` ends a line.
pub(super) fn fold(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        let mut filled = 0;
        for piece in pieces(paragraph) {
            let takes = width(piece.trim_end());
            if filled > 0 && filled + takes > room {
                lines.push(line.trim_end().to_owned());
                line.clear();
                filled = 0;
            }
            line.push_str(piece);
            filled += width(piece);
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// What must stay together: words with the blanks after them, single wide characters with their marks.
fn pieces(paragraph: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut from = 0;
    let mut before: Option<char> = None;
    for (at, c) in paragraph.char_indices() {
        if before.is_some_and(|before| may_break(before, c)) {
            pieces.push(&paragraph[from..at]);
            from = at;
        }
        before = Some(c);
    }
    pieces.push(&paragraph[from..]);
    pieces
}

fn may_break(before: char, after: char) -> bool {
    if after == ' ' || CLOSING.contains(after) || OPENING.contains(before) {
        return false;
    }
    let wide = |c: char| c.width() == Some(2);
    before == ' ' || wide(before) || wide(after)
}
