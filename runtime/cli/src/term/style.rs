//! Colours, and texts made safe for a terminal.

/// How a text is set. Colours are the terminal's own, so that they fit its background.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As everything.
    #[default]
    Plain,
    /// Bold.
    Strong,
    /// Dim: what may be passed over.
    Quiet,
    /// Green: as it should be.
    Good,
    /// Yellow: refused or held back.
    Warn,
    /// Red: something went wrong.
    Bad,
}

impl Tone {
    /// The parameter of the SGR sequence (ECMA-48, 8.3.117).
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Quiet => Some("2"),
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// Puts tones on texts, or leaves them as they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Painter {
    colour: bool,
}

impl Painter {
    pub(super) fn new(colour: bool) -> Self {
        Self { colour }
    }

    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        match tone.code() {
            Some(code) if self.colour && !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}

/// A text that a terminal shows as it is: no control characters (escape sequences begin with one) and no invisible
/// or direction-changing ones; each becomes `�`. A tab becomes a blank; line ends stay.
pub(crate) fn clean(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| match c {
            '\n' => '\n',
            '\t' => ' ',
            c if c.is_control() || is_invisible(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

/// Format characters that change or hide what stands beside them: zero-width ones, directional marks, embeddings,
/// overrides and isolates (Unicode UAX #9), invisible operators, the byte order mark, tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
