//! What the authority suspends, resumes and ends.

use super::error::Kind;
use std::fmt;

/// Something that can be stopped: named as the registry names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An institution: it may not act.
    Institution(String),
    /// A dataset: nothing rests on it, whatever its version.
    Dataset(String),
    /// One version of a dataset.
    Version {
        /// The dataset.
        dataset: String,
        /// Counts from 1.
        number: u64,
    },
    /// A model at a version.
    Model {
        /// Its id.
        id: String,
        /// Its version.
        version: String,
    },
    /// A product.
    Product(String),
    /// A grant.
    Grant(String),
}

impl Subject {
    /// A subject from its kind (`institution`, `dataset`, `version`, `model`, `product`, `grant`) and its id: of a version
    /// `dataset@number`, of a model `id@version`. `None` where they do not fit.
    pub fn read(kind: &str, id: &str) -> Option<Self> {
        let fits = (1..=256).contains(&id.len()) && !id.chars().any(char::is_control);
        if !fits {
            return None;
        }
        let pair = || id.split_once('@').filter(|(a, b)| !a.is_empty() && !b.is_empty());
        Some(match kind {
            "institution" => Self::Institution(id.to_owned()),
            "dataset" => Self::Dataset(id.to_owned()),
            "version" => {
                let (dataset, number) = pair()?;
                Self::Version { dataset: dataset.to_owned(), number: number.parse().ok().filter(|n| *n > 0)? }
            }
            "model" => {
                let (id, version) = pair()?;
                Self::Model { id: id.to_owned(), version: version.to_owned() }
            }
            "product" => Self::Product(id.to_owned()),
            "grant" => Self::Grant(id.to_owned()),
            _ => return None,
        })
    }

    /// The word of its kind, in the store, in the log and on the command line.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Institution(_) => "institution",
            Self::Dataset(_) => "dataset",
            Self::Version { .. } => "version",
            Self::Model { .. } => "model",
            Self::Product(_) => "product",
            Self::Grant(_) => "grant",
        }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Institution(_) => Kind::Institution,
            Self::Dataset(_) => Kind::Dataset,
            Self::Version { .. } => Kind::DatasetVersion,
            Self::Model { .. } => Kind::Model,
            Self::Product(_) => Kind::Product,
            Self::Grant(_) => Kind::Grant,
        }
    }

    /// Its id: of a version `dataset@number`, of a model `id@version`.
    pub fn id(&self) -> String {
        match self {
            Self::Institution(id) | Self::Dataset(id) | Self::Product(id) | Self::Grant(id) => id.clone(),
            Self::Version { dataset, number } => format!("{dataset}@{number}"),
            Self::Model { id, version } => format!("{id}@{version}"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.word(), self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_as_it_is_written() {
        for (kind, id) in [
            ("institution", "operator"),
            ("dataset", "residents"),
            ("version", "residents@12"),
            ("model", "credit-risk@1.0.0"),
            ("product", "risk-by-city"),
            ("grant", "grant-0"),
        ] {
            let subject = Subject::read(kind, id).unwrap();
            assert_eq!((subject.word(), subject.id().as_str()), (kind, id));
        }
        for (kind, id) in [
            ("run", "x"),
            ("dataset", ""),
            ("version", "residents"),
            ("version", "residents@0"),
            ("version", "residents@-1"),
            ("version", "@1"),
            ("model", "credit-risk"),
            ("grant", "a\nb"),
        ] {
            assert_eq!(Subject::read(kind, id), None, "{kind} {id}");
        }
        assert!(Subject::read("product", &"p".repeat(256)).is_some());
        assert!(Subject::read("product", &"p".repeat(257)).is_none());
    }
}
