//! The public SM2 keys of a log, as every build reads them. Whether their lines are checked depends on the feature `sm`; that
//! there is such a key, and that a line of it was or was not checked, is told in any case.

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::key::{KeyError, format_vkey, key_id, parse_vkey};
use crate::note::Signature;

/// The signature type: `signed-note` reserves 0xff for types that name themselves.
pub(crate) const TYPE_SM2: &[u8] = b"\xffyunei.sm2-sm3.v1";

/// The length of an uncompressed point: 0x04 and two coordinates.
pub(crate) const POINT: usize = 65;

/// The public SM2 key of a log, written `name+hash+base64(type || point)`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sm2Key {
    name: String,
    point: [u8; POINT],
}

/// What is known of a checkpoint's SM2 signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sm2Status {
    /// No SM2 key of this log is known: nothing was looked for.
    NoKey,
    /// A known SM2 key signed it.
    Verified,
    /// It has no line of a known SM2 key, as what was signed before the key came has none.
    Absent,
    /// It has one, and this program was built without SM2: the line was **not** checked.
    NotChecked,
}

impl Sm2Status {
    /// The word, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::Verified => "verified",
            Self::Absent => "absent",
            Self::NotChecked => "not_checked",
        }
    }
}

impl Sm2Key {
    /// The name, which is the origin of the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The four bytes that name this key in a signature line, as a number.
    #[must_use]
    pub fn id(&self) -> u32 {
        key_id(&self.name, TYPE_SM2, &self.point)
    }

    /// Whether this program can check its signatures: it was built with the feature `sm`.
    #[must_use]
    pub const fn is_checked() -> bool {
        cfg!(feature = "sm")
    }

    /// What a checkpoint has of this key.
    ///
    /// # Errors
    /// [`CheckpointError::Signature`] where a line of it does not verify: that spoils the note.
    pub(crate) fn status(&self, checkpoint: &Checkpoint) -> Result<Sm2Status, CheckpointError> {
        let id = self.id();
        let mine = |line: &Signature| line.name == self.name && line.id == id;
        if !checkpoint.signatures().iter().any(mine) {
            return Ok(Sm2Status::Absent);
        }
        #[cfg(feature = "sm")]
        {
            let key: crate::SmVerifyingKey = self.to_string().parse().map_err(|_| CheckpointError::Signature)?;
            key.check(checkpoint).map(|()| Sm2Status::Verified)
        }
        #[cfg(not(feature = "sm"))]
        Ok(Sm2Status::NotChecked)
    }
}

impl FromStr for Sm2Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, point) = parse_vkey::<POINT>(text, TYPE_SM2)?;
        // That it is a point of the curve too.
        #[cfg(feature = "sm")]
        text.parse::<crate::SmVerifyingKey>()?;
        Ok(Self { name, point })
    }
}

impl fmt::Display for Sm2Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_vkey(&self.name, TYPE_SM2, &self.point))
    }
}

impl fmt::Debug for Sm2Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sm2Key({self})")
    }
}
