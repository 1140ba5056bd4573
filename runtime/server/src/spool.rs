//! An answer that is written while it is sent: as much is made as the client takes, whatever its length.

use axum::body::{Body, Bytes};
use futures::stream;
use std::io::{self, Write};
use tokio::sync::mpsc;

/// How many bytes are sent at a time.
const PIECE: usize = 64 << 10;
/// How many such pieces wait for the client.
const WAITING: usize = 8;

type Piece = Result<Bytes, io::Error>;

/// Where the answer is written, on a thread that may wait.
pub(crate) struct Spool {
    pieces: mpsc::Sender<Piece>,
    piece: Vec<u8>,
}

/// Ends an answer before its time.
pub(crate) struct Ending(mpsc::Sender<Piece>);

/// A writer, and the body of what is written to it. The body ends well when the writer is flushed and dropped.
pub(crate) fn pipe() -> (Spool, Body) {
    let (pieces, taken) = mpsc::channel::<Piece>(WAITING);
    let body = stream::unfold(taken, |mut taken| async move { taken.recv().await.map(|piece| (piece, taken)) });
    (Spool { pieces, piece: Vec::with_capacity(PIECE) }, Body::from_stream(body))
}

impl Spool {
    /// What breaks the answer off. As long as it is held, the answer does not end.
    pub(crate) fn ending(&self) -> Ending {
        Ending(self.pieces.clone())
    }

    fn send(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.pieces.blocking_send(Ok(Bytes::from(piece))).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Ending {
    /// The client sees that the answer is not whole: the connection ends in the middle of it.
    pub(crate) async fn break_off(self) {
        let _ = self.0.send(Err(io::ErrorKind::Other.into())).await;
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // A writer that is dropped in the middle of an error has an ending that says so.
        let _ = self.send();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn what_is_written_is_sent_and_what_fails_breaks_off() {
        let (mut spool, body) = pipe();
        let long: Vec<u8> = (0..3 * PIECE + 17).map(|i| (i % 251) as u8).collect();
        let sent = long.clone();
        let writing = tokio::task::spawn_blocking(move || {
            spool.write_all(&sent).unwrap();
            spool.flush().unwrap();
        });
        assert_eq!(body.collect().await.unwrap().to_bytes(), long);
        writing.await.unwrap();

        let (mut spool, body) = pipe();
        let ending = spool.ending();
        tokio::task::spawn_blocking(move || spool.write_all(b"half").unwrap()).await.unwrap();
        let read = tokio::spawn(body.collect());
        ending.break_off().await;
        assert!(read.await.unwrap().is_err());

        // A client that is gone ends the writing.
        let (mut spool, body) = pipe();
        drop(body);
        let stopped = tokio::task::spawn_blocking(move || spool.write_all(&vec![0; 2 * PIECE])).await.unwrap();
        assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
