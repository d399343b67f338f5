//! The four content encodings that the clients offer, flushed after every piece as the API does.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

pub enum Encoder {
    Identity,
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Br(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    pub fn new(name: Option<&str>) -> Encoder {
        match name {
            None => Encoder::Identity,
            Some("gzip") => Encoder::Gzip(GzEncoder::new(Vec::new(), Compression::default())),
            Some("deflate") => {
                Encoder::Deflate(ZlibEncoder::new(Vec::new(), Compression::default()))
            }
            Some("br") => {
                Encoder::Br(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20)))
            }
            Some("zstd") => Encoder::Zstd(zstd::stream::Encoder::new(Vec::new(), 3).unwrap()),
            Some(other) => panic!("no such encoding: {other}"),
        }
    }

    /// The encoded form of a piece, complete enough to be decoded at once.
    pub fn piece(&mut self, bytes: &[u8]) -> Vec<u8> {
        fn flushed<W: Write>(writer: &mut W, bytes: &[u8]) {
            writer.write_all(bytes).unwrap();
            writer.flush().unwrap();
        }
        match self {
            Encoder::Identity => bytes.to_vec(),
            Encoder::Gzip(inner) => {
                flushed(inner, bytes);
                std::mem::take(inner.get_mut())
            }
            Encoder::Deflate(inner) => {
                flushed(inner, bytes);
                std::mem::take(inner.get_mut())
            }
            Encoder::Br(inner) => {
                flushed(inner, bytes);
                std::mem::take(inner.get_mut())
            }
            Encoder::Zstd(inner) => {
                flushed(inner, bytes);
                std::mem::take(inner.get_mut())
            }
        }
    }

    /// What closes the encoding.
    pub fn finish(self) -> Vec<u8> {
        match self {
            Encoder::Identity => Vec::new(),
            Encoder::Gzip(inner) => inner.finish().unwrap(),
            Encoder::Deflate(inner) => inner.finish().unwrap(),
            Encoder::Br(inner) => inner.into_inner(),
            Encoder::Zstd(inner) => inner.finish().unwrap(),
        }
    }
}

/// Decodes a whole body.
pub fn decode(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let read = match name {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        "deflate" => flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        "zstd" => zstd::stream::Decoder::new(bytes).unwrap().read_to_end(&mut out),
        other => panic!("no such encoding: {other}"),
    };
    read.unwrap_or_else(|error| panic!("{name} does not decode: {error}"));
    out
}
