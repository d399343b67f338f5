//! HTTP/1.1 as bytes: heads and bodies read without changing case, order or framing.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A head or a buffer longer than this is a defect of the test or of the program.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// A message's head exactly as it came.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// All bytes, the empty line included.
    pub raw: Vec<u8>,
    /// The first line.
    pub line: String,
    /// Names with their case, values without the blanks around them, in order.
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn parse(raw: Vec<u8>) -> Head {
        let text: String = raw.iter().map(|b| char::from(*b)).collect();
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Head { raw, line, headers }
    }

    /// The first value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// All header names in lower case, in order.
    pub fn names(&self) -> Vec<String> {
        self.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect()
    }
}

/// How a body ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As its framing says.
    Clean,
    /// The connection was closed (FIN) before that.
    Truncated,
    /// The connection was reset or failed.
    Aborted(String),
}

/// Bytes from a connection, with what has been read ahead.
#[derive(Debug, Default)]
pub struct Buffer {
    pub bytes: Vec<u8>,
}

impl Buffer {
    /// Reads more. `Ok(0)` is the end.
    pub async fn fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<usize> {
        stream.read_buf(&mut self.bytes).await
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        let rest = self.bytes.split_off(n);
        std::mem::replace(&mut self.bytes, rest)
    }

    /// Reads a head; `None` where the connection ends before one is complete.
    pub async fn head<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<Option<Head>> {
        loop {
            if let Some(at) = find(&self.bytes, b"\r\n\r\n") {
                return Ok(Some(Head::parse(self.take(at + 4))));
            }
            if self.bytes.len() > HEAD_BYTES_MAX {
                return Err(io::Error::other("the head is too long"));
            }
            if self.fill(stream).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads exactly `n` bytes, handing each piece to `sink` as it comes.
    pub async fn exactly<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        mut n: usize,
        sink: &mut impl FnMut(&[u8]),
    ) -> End {
        loop {
            let now = n.min(self.bytes.len());
            if now > 0 {
                let piece = self.take(now);
                sink(&piece);
                n -= now;
            }
            if n == 0 {
                return End::Clean;
            }
            match self.fill(stream).await {
                Ok(0) => return End::Truncated,
                Ok(_) => {}
                Err(error) => return End::Aborted(error.to_string()),
            }
        }
    }

    /// Reads a line without its CRLF.
    async fn line<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<String, End> {
        loop {
            if let Some(at) = find(&self.bytes, b"\r\n") {
                let line = self.take(at + 2);
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            match self.fill(stream).await {
                Ok(0) => return Err(End::Truncated),
                Ok(_) => {}
                Err(error) => return Err(End::Aborted(error.to_string())),
            }
        }
    }

    /// Reads a chunked body, trailers included.
    pub async fn chunked<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        sink: &mut impl FnMut(&[u8]),
    ) -> End {
        loop {
            let line = match self.line(stream).await {
                Ok(line) => line,
                Err(end) => return end,
            };
            let digits = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(digits, 16) else {
                return End::Aborted(format!("not a chunk size: {line:?}"));
            };
            if size == 0 {
                break;
            }
            match self.exactly(stream, size, sink).await {
                End::Clean => {}
                end => return end,
            }
            match self.exactly(stream, 2, &mut |_| {}).await {
                End::Clean => {}
                end => return end,
            }
        }
        loop {
            match self.line(stream).await {
                Ok(line) if line.is_empty() => return End::Clean,
                Ok(_) => {}
                Err(end) => return end,
            }
        }
    }

    /// Reads until the connection ends.
    pub async fn rest<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        sink: &mut impl FnMut(&[u8]),
    ) -> End {
        loop {
            let piece = self.take(self.bytes.len());
            sink(&piece);
            match self.fill(stream).await {
                Ok(0) => return End::Clean,
                Ok(_) => {}
                Err(error) => return End::Aborted(error.to_string()),
            }
        }
    }
}

/// Where `needle` first occurs.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
