//! What ends the story early.

use std::io;

use yunei_engine::DomainError;
use yunei_policy::Lang;

use crate::demo::data::DataError;
use crate::term::{Mark, Term};

/// Why the story could not be told to its end.
pub(super) enum Stop {
    /// The domain did not do what it should.
    Domain(DomainError),
    /// The data could not be made.
    Data(DataError),
    /// A file of the demo could not be written or read.
    Io(io::Error),
    /// The folder to keep is not empty.
    Occupied,
    /// The log or a receipt does not verify; the code says what is wrong.
    Audit(&'static str),
}

impl Stop {
    /// DESIGN §7: 1 other, 2 malformed input, 3 refused, 4 not found, 5 unavailable.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Domain(error) => error.exit_code(),
            Self::Data(DataError::TooFew { .. } | DataError::TooMany { .. } | DataError::TooManyMeters)
            | Self::Occupied => 2,
            Self::Data(_) | Self::Io(_) => 5,
            Self::Audit(_) => 1,
        }
    }

    /// One sentence for each reason.
    pub(super) fn texts(&self, lang: Lang) -> Vec<String> {
        let pick = |zh: &str, en: &str| match lang {
            Lang::Zh => zh.to_owned(),
            Lang::En => en.to_owned(),
        };
        match self {
            Self::Domain(error) => {
                let said = |r: &yunei_policy::Refusal| format!("{} ({})", r.message().get(lang), r.code());
                error.reasons().iter().map(said).collect()
            }
            Self::Data(error) => vec![pick(&error.zh(), &error.to_string())],
            Self::Io(error) => vec![format!("{}: {}", pick("读写失败", "input or output failed"), error.kind())],
            Self::Occupied => vec![pick("--keep 指定的文件夹不是空的", "the folder of --keep is not empty")],
            Self::Audit(code) => {
                vec![format!("{} ({code})", pick("日志或凭证验证失败", "the log or a receipt does not verify"))]
            }
        }
    }

    /// Shows them.
    pub(super) fn show(&self, term: &mut Term) {
        for text in self.texts(term.lang()) {
            term.item(Mark::Failed, &text);
        }
    }
}

impl From<DomainError> for Stop {
    fn from(error: DomainError) -> Self {
        Self::Domain(error)
    }
}

impl From<DataError> for Stop {
    fn from(error: DataError) -> Self {
        Self::Data(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
