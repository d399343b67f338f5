//! Content codings, undone while the bytes pass: only the copy that is looked at, never what is
//! forwarded.
//!
//! Decoded bytes are pushed on at once, so the end of a stream is seen in the chunk that carries
//! it. A small body can decode to an endless one; the bound is on what comes out.

use std::fmt;
use std::io::{self, Write};

use crate::accounting::Flag;

/// The most decoded bytes of one response that are looked at.
const DECODED_BYTES_MAX: u64 = 64 << 20;

/// The largest zstd window, as log2: 8 MiB, what RFC 9659 allows for this coding.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How much the brotli decoder hands on at a time.
const BROTLI_STEP_BYTES: usize = 4 * 1024;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// From a `content-encoding` header; `None` where it is unknown or several in a row.
    pub(super) fn of(header: Option<&str>) -> Option<Coding> {
        let name = header.unwrap_or_default().trim();
        let table = [
            ("", Coding::Identity),
            ("identity", Coding::Identity),
            ("gzip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("deflate", Coding::Deflate),
            ("br", Coding::Brotli),
            ("zstd", Coding::Zstd),
        ];
        table.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, coding)| *coding)
    }
}

/// Undoes one coding and writes into `W`.
pub(super) struct Decoder<W: Write + Default> {
    stage: Stage<W>,
    /// Set once the rest cannot be decoded, or may not be.
    stopped: Option<Flag>,
}

enum Stage<W: Write + Default> {
    Identity(W),
    Gzip(Box<flate2::write::MultiGzDecoder<Bounded<W>>>),
    /// `deflate` means zlib, and some send it raw; the first two bytes tell.
    DeflateUnknown(Option<u8>, Bounded<W>),
    Zlib(Box<flate2::write::ZlibDecoder<Bounded<W>>>),
    Deflate(Box<flate2::write::DeflateDecoder<Bounded<W>>>),
    Brotli(Box<brotli::DecompressorWriter<Bounded<W>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Bounded<W>>>),
}

impl<W: Write + Default> Decoder<W> {
    /// A decoder into `sink`; `None` where the library cannot make one.
    pub(super) fn new(coding: Coding, sink: W) -> Option<Decoder<W>> {
        Decoder::with_bound(coding, sink, DECODED_BYTES_MAX)
    }

    /// The same with another bound on what comes out.
    pub(super) fn with_bound(coding: Coding, sink: W, bytes_max: u64) -> Option<Decoder<W>> {
        let bounded = Bounded { sink, left: bytes_max, exceeded: false };
        let stage = match coding {
            Coding::Identity => Stage::Identity(bounded.sink),
            Coding::Gzip => Stage::Gzip(Box::new(flate2::write::MultiGzDecoder::new(bounded))),
            Coding::Deflate => Stage::DeflateUnknown(None, bounded),
            Coding::Brotli => {
                let inner = brotli::DecompressorWriter::new(bounded, BROTLI_STEP_BYTES);
                Stage::Brotli(Box::new(inner))
            }
            Coding::Zstd => {
                let mut inner = zstd::stream::write::Decoder::new(bounded).ok()?;
                inner.window_log_max(ZSTD_WINDOW_LOG_MAX).ok()?;
                Stage::Zstd(Box::new(inner))
            }
        };
        Some(Decoder { stage, stopped: None })
    }

    /// Takes the next encoded bytes; everything they decode to has reached the sink on return.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        if self.stopped.is_some() || chunk.is_empty() {
            return;
        }
        let result = match &mut self.stage {
            Stage::Identity(sink) => sink.write_all(chunk),
            Stage::Gzip(inner) => feed(inner, chunk),
            Stage::DeflateUnknown(..) => return self.push_deflate(chunk),
            Stage::Zlib(inner) => feed(inner, chunk),
            Stage::Deflate(inner) => feed(inner, chunk),
            Stage::Brotli(inner) => feed(inner, chunk),
            Stage::Zstd(inner) => feed(inner, chunk),
        };
        if result.is_err() {
            let exceeded = self.bounded().is_some_and(|bounded| bounded.exceeded);
            let flag = if exceeded { Flag::InspectionTruncated } else { Flag::Unparseable };
            self.stopped = Some(flag);
        }
    }

    /// Why decoding stopped before the end, if it did.
    pub(super) const fn stopped(&self) -> Option<Flag> {
        self.stopped
    }

    /// Where the decoded bytes go.
    pub(super) fn sink_mut(&mut self) -> &mut W {
        match &mut self.stage {
            Stage::Identity(sink) => sink,
            Stage::Gzip(inner) => &mut inner.get_mut().sink,
            Stage::DeflateUnknown(_, bounded) => &mut bounded.sink,
            Stage::Zlib(inner) => &mut inner.get_mut().sink,
            Stage::Deflate(inner) => &mut inner.get_mut().sink,
            Stage::Brotli(inner) => &mut inner.get_mut().sink,
            Stage::Zstd(inner) => &mut inner.get_mut().sink,
        }
    }

    fn bounded(&self) -> Option<&Bounded<W>> {
        match &self.stage {
            Stage::Identity(_) => None,
            Stage::Gzip(inner) => Some(inner.get_ref()),
            Stage::DeflateUnknown(_, bounded) => Some(bounded),
            Stage::Zlib(inner) => Some(inner.get_ref()),
            Stage::Deflate(inner) => Some(inner.get_ref()),
            Stage::Brotli(inner) => Some(inner.get_ref()),
            Stage::Zstd(inner) => Some(inner.get_ref()),
        }
    }

    /// Chooses between zlib and raw deflate as soon as two bytes are there.
    fn push_deflate(&mut self, chunk: &[u8]) {
        let Stage::DeflateUnknown(carried, bounded) = &mut self.stage else { return };
        let mut start = Vec::with_capacity(2);
        start.extend(carried.iter().chain(chunk).take(2));
        let [first, second] = start[..] else {
            *carried = start.first().copied();
            return;
        };
        let carried = *carried;
        let bounded = std::mem::take(bounded);
        // RFC 1950: method 8, and the two bytes are a multiple of 31.
        let zlib = first & 15 == 8 && (u16::from(first) << 8 | u16::from(second)) % 31 == 0;
        self.stage = if zlib {
            Stage::Zlib(Box::new(flate2::write::ZlibDecoder::new(bounded)))
        } else {
            Stage::Deflate(Box::new(flate2::write::DeflateDecoder::new(bounded)))
        };
        if let Some(first) = carried {
            self.push(&[first]);
        }
        self.push(chunk);
    }
}

impl<W: Write + Default> fmt::Debug for Decoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("stopped", &self.stopped).finish_non_exhaustive()
    }
}

/// Writes all of `chunk`, and pushes out what the decoder holds back.
fn feed(inner: &mut impl Write, chunk: &[u8]) -> io::Result<()> {
    let mut rest = chunk;
    while !rest.is_empty() {
        match inner.write(rest)? {
            // Behind the end of the coded stream; clients ignore it, too.
            0 => break,
            taken => rest = &rest[taken..],
        }
    }
    inner.flush()
}

/// Passes bytes on up to a bound, then refuses.
#[derive(Debug, Default)]
struct Bounded<W> {
    sink: W,
    left: u64,
    exceeded: bool,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if length == 0 && !bytes.is_empty() {
            self.exceeded = true;
            return Err(io::Error::other("the bound on decoded bytes is reached"));
        }
        self.sink.write_all(&bytes[..length])?;
        self.left -= length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
