//! The keys of several logs: a domain has one log a year, and hands out one list of keys.

use crate::key::{KeyError, VerifyingKey};
use crate::sm_key::Sm2Key;
use crate::trust::Trust;
use crate::witness::WitnessKey;

/// The most keys of a list that is read.
const MAX_KEYS: usize = 256;

/// The keys of one or more logs. The log of the first key is the one that is written now.
#[derive(Debug, Clone)]
pub struct Keyring {
    logs: Vec<Trust>,
}

impl Keyring {
    /// Reads a list of keys, one a line, as it is handed out: the keys of logs, the newest first, their SM2 keys, and keys of
    /// witnesses, whose cosignatures are asked of each log. Empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// [`KeyError::Form`] where a line is no key, there is no key of a log or there are more than 256; [`KeyError::Name`]
    /// where an SM2 key is of no log of the list.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut logs: Vec<Trust> = Vec::new();
        let (mut witnesses, mut sm2, mut count) = (Vec::new(), Vec::new(), 0);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            count += 1;
            if count > MAX_KEYS {
                return Err(KeyError::Form);
            }
            if let Ok(key) = line.parse::<VerifyingKey>() {
                match logs.iter_mut().find(|log| log.origin() == key.name()) {
                    Some(log) => *log = log.clone().retired(key),
                    None => logs.push(Trust::new(key)),
                }
            } else if let Ok(key) = line.parse::<Sm2Key>() {
                sm2.push(key);
            } else {
                witnesses.push(line.parse::<WitnessKey>()?);
            }
        }
        if logs.is_empty() {
            return Err(KeyError::Form);
        }
        for key in sm2 {
            let log = logs.iter_mut().find(|log| log.origin() == key.name()).ok_or(KeyError::Name)?;
            *log = log.clone().sm2_key(key);
        }
        for log in &mut logs {
            *log = witnesses.iter().cloned().fold(log.clone(), Trust::witness);
        }
        Ok(Self { logs })
    }

    /// The keys of the log that is written now.
    #[must_use]
    pub fn current(&self) -> &Trust {
        // INVARIANT: `parse` is the only constructor, and refuses a list without a log.
        &self.logs[0]
    }

    /// The keys of the log of this name.
    #[must_use]
    pub fn of(&self, origin: &str) -> Option<&Trust> {
        self.logs.iter().find(|log| log.origin() == origin)
    }

    /// The keys of each log, in the order of the list.
    #[must_use]
    pub fn logs(&self) -> &[Trust] {
        &self.logs
    }
}

impl From<Trust> for Keyring {
    fn from(trust: Trust) -> Self {
        Self { logs: vec![trust] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    #[test]
    fn a_list_of_several_logs_at_its_limit_and_one_past_it() {
        let key = |name: &str, n: u8| SigningKey::from_seed(name, [n; 32]).unwrap().verifying_key();
        let witness = WitnessKey::of(&SigningKey::from_seed("w.example", [9; 32]).unwrap());
        let (new, old) = (key("a/2027", 1), key("a", 2));
        let ring = Keyring::parse(&format!("# 当前\n{new}\n{old}\n{}\n{witness}\n", key("a", 3))).unwrap();
        assert_eq!((ring.current().origin(), ring.logs().len()), ("a/2027", 2));
        assert_eq!(ring.of("a").unwrap().keys(), [old.clone(), key("a", 3)]);
        assert!(ring.logs().iter().all(|log| log.witnesses() == std::slice::from_ref(&witness)));
        assert!(ring.of("b").is_none());
        let many = |n: usize| (0..n).map(|i| format!("{}\n", key(&format!("l{i}"), 1))).collect::<String>();
        assert_eq!(Keyring::parse(&many(MAX_KEYS)).unwrap().logs().len(), MAX_KEYS);
        assert_eq!(Keyring::parse(&many(MAX_KEYS + 1)).unwrap_err().code(), "key/form");
        for none in ["", "no key", &witness.to_string()] {
            assert_eq!(Keyring::parse(none).unwrap_err().code(), "key/form");
        }
    }

    #[test]
    fn an_sm2_key_is_read_by_every_build_and_belongs_to_a_log_of_the_list() {
        let text = include_str!("../tests/sm2.vkey").trim();
        let sm2: Sm2Key = text.parse().unwrap();
        assert_eq!((sm2.name(), sm2.to_string()), ("a.example/log", text.to_owned()));
        let log = SigningKey::from_seed("a.example/log", [1; 32]).unwrap().verifying_key();
        let ring = Keyring::parse(&format!("{log}\n{text}\n")).unwrap();
        assert_eq!(ring.current().sm2_keys(), std::slice::from_ref(&sm2));
        let other = SigningKey::from_seed("b", [1; 32]).unwrap().verifying_key();
        assert_eq!(Keyring::parse(&format!("{other}\n{text}\n")).unwrap_err().code(), "key/name");
        assert_eq!(Keyring::parse(text).unwrap_err().code(), "key/form");
        let damaged = text.replacen("EE3wf", "EE4wf", 1);
        assert_eq!((damaged != text, damaged.parse::<Sm2Key>().is_err()), (true, true));
    }
}
