//! UBJSON (Universal Binary JSON, draft 12), as far as XGBoost writes it: a deserializer for the same structures
//! that its JSON has.

use serde::de::{self, DeserializeSeed, Visitor};

use crate::limits;
use crate::refusal::{Refusal, quote};

/// Reads one value out of `bytes`.
pub(super) fn read<'b, T: de::Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, Refusal> {
    let mut reader = Reader { bytes, at: 0, depth: 0 };
    T::deserialize(Any { reader: &mut reader, kind: None }).map_err(|e| {
        Refusal::malformed(
            format!("this is not a model as XGBoost's save_model writes it (UBJSON): {}", quote(&e.0)),
            match e.0.strip_prefix("missing field ") {
                Some(field) => format!("不是 XGBoost save_model 写出的 UBJSON 模型：缺少字段 {}", quote(field)),
                None if reader.at >= bytes.len() || e.0.contains("too early") => {
                    "UBJSON 文件不完整（提前结束）".to_owned()
                }
                None => format!("不是 XGBoost save_model 写出的 UBJSON 模型：{}", quote(&e.0)),
            },
        )
        .at(format!("byte {}", reader.at))
    })
}

/// What is wrong; where is known to the reader.
#[derive(Debug)]
struct Fault(String);

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Fault(message.to_string())
    }
}

fn fault<T>(text: &str) -> Result<T, Fault> {
    Err(Fault(text.to_owned()))
}

struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
    depth: usize,
}

impl<'b> Reader<'b> {
    fn take(&mut self, n: usize) -> Result<&'b [u8], Fault> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.bytes.len());
        match end {
            Some(end) => {
                let taken = &self.bytes[self.at..end];
                self.at = end;
                Ok(taken)
            }
            None => fault("it ends too early"),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next marker that is not the one for nothing.
    fn marker(&mut self) -> Result<u8, Fault> {
        loop {
            let [marker] = self.array()?;
            if marker != b'N' {
                return Ok(marker);
            }
        }
    }

    fn integer(&mut self, kind: u8) -> Result<i64, Fault> {
        Ok(match kind {
            b'i' => i64::from(i8::from_be_bytes(self.array()?)),
            b'U' => i64::from(u8::from_be_bytes(self.array()?)),
            b'I' => i64::from(i16::from_be_bytes(self.array()?)),
            b'l' => i64::from(i32::from_be_bytes(self.array()?)),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return fault("an integer is expected"),
        })
    }

    fn length(&mut self) -> Result<usize, Fault> {
        let kind = self.marker()?;
        let n = self.integer(kind)?;
        usize::try_from(n).map_err(|_| Fault("a length is negative".to_owned()))
    }

    fn text(&mut self) -> Result<&'b str, Fault> {
        let n = self.length()?;
        std::str::from_utf8(self.take(n)?).map_err(|_| Fault("a string is not UTF-8".to_owned()))
    }

    /// Type and count of a container, where it states them.
    fn header(&mut self) -> Result<(Option<u8>, Option<usize>), Fault> {
        let mut kind = None;
        if self.peek() == Some(b'$') {
            self.at += 1;
            let [stated] = self.array()?;
            // Types without bytes could be repeated without end in a file of a few bytes.
            if !b"iUIlLdDCS[{".contains(&stated) {
                return fault("a container is of a type that is not used");
            }
            kind = Some(stated);
        }
        if self.peek() == Some(b'#') {
            self.at += 1;
            return Ok((kind, Some(self.length()?)));
        }
        if kind.is_some() { fault("a typed container has no count") } else { Ok((None, None)) }
    }

    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > limits::NESTING { fault("it is nested too deeply") } else { Ok(()) }
    }
}

/// The next value, of a type that its container has stated or of its own.
struct Any<'r, 'b> {
    reader: &'r mut Reader<'b>,
    kind: Option<u8>,
}

impl<'b> de::Deserializer<'b> for Any<'_, 'b> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Fault> {
        let r = self.reader;
        let kind = match self.kind {
            Some(kind) => kind,
            None => r.marker()?,
        };
        match kind {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'i' | b'U' | b'I' | b'l' | b'L' => visitor.visit_i64(r.integer(kind)?),
            b'd' => visitor.visit_f32(f32::from_be_bytes(r.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(r.array()?)),
            b'C' => visitor.visit_char(char::from(r.array::<1>()?[0])),
            b'S' => visitor.visit_borrowed_str(r.text()?),
            b'[' | b'{' => {
                r.deeper()?;
                let (stated, left) = r.header()?;
                let items = Items { reader: r, kind: stated, left, close: if kind == b'[' { b']' } else { b'}' } };
                if kind == b'[' { visitor.visit_seq(items) } else { visitor.visit_map(items) }
            }
            b'H' => fault("numbers as text are not supported"),
            _ => fault("a marker is not one of UBJSON's"),
        }
    }

    fn deserialize_option<V: Visitor<'b>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.kind.is_none() && self.reader.peek() == Some(b'Z') {
            self.reader.at += 1;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'b>>
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What is in a container: so many, or up to its closing marker.
struct Items<'r, 'b> {
    reader: &'r mut Reader<'b>,
    kind: Option<u8>,
    left: Option<usize>,
    close: u8,
}

impl Items<'_, '_> {
    fn more(&mut self) -> Result<bool, Fault> {
        let more = match &mut self.left {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => {
                while self.reader.peek() == Some(b'N') {
                    self.reader.at += 1;
                }
                match self.reader.peek() {
                    Some(marker) if marker == self.close => {
                        self.reader.at += 1;
                        false
                    }
                    Some(_) => true,
                    None => return fault("it ends too early"),
                }
            }
        };
        if !more {
            self.reader.depth -= 1;
        }
        Ok(more)
    }
}

impl<'b> de::SeqAccess<'b> for Items<'_, 'b> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'b>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        if !self.more()? {
            return Ok(None);
        }
        seed.deserialize(Any { reader: self.reader, kind: self.kind }).map(Some)
    }
}

impl<'b> de::MapAccess<'b> for Items<'_, 'b> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'b>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        if !self.more()? {
            return Ok(None);
        }
        let key = self.reader.text()?;
        seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'b>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(Any { reader: self.reader, kind: self.kind })
    }
}
