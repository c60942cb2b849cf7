//! Reads the body of an answer. Each bound applies to what the server sends, not only to what the body becomes.

use std::{
    future::poll_fn,
    io::{ErrorKind, Write as _},
    pin::Pin,
    time::Duration,
};

use flate2::write::GzDecoder;
use http::{
    Response,
    header::{CONTENT_ENCODING, HeaderMap},
};
use hyper::body::{Body as _, Buf as _, Bytes, Incoming as Stream};
use tokio::time::timeout;

use super::{Error, KIB};

/// Pieces of a body that may be smaller than [`LEAST_PIECE`] on average. Each chunk of the chunked encoding is a piece.
const MOST_PIECES: usize = 4096;
/// In bytes.
const LEAST_PIECE: usize = 64;
/// The longest wait for the next piece, because other calls wait for the place of this one.
const PIECE_DEADLINE: Duration = Duration::from_secs(15);
/// Members of a gzip body. Each costs a new decoder, and servers send one.
const MOST_MEMBERS: usize = 64;

/// How a read ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// The body is complete.
    Ended,
    /// The body exceeds the limit.
    Full,
}

/// The body of an answer while it arrives.
pub(super) struct Incoming {
    response: Response<Stream>,
    received: Received,
    body: Body,
    /// The part of the latest piece that is not decoded yet.
    rest: Bytes,
}

impl Incoming {
    /// `limit` bounds the body, decompressed, in bytes.
    pub(super) fn new(limit: usize, response: Response<Stream>) -> Self {
        let body = Body::of(response.headers());
        Self { response, received: Received::new(limit), body, rest: Bytes::new() }
    }

    /// Reads until the body has more than `most` bytes, decompressed.
    pub(super) async fn fill(&mut self, most: usize) -> Result<Fill, Error> {
        loop {
            if self.body.decode(&mut self.rest, most)? == Fill::Full {
                return Ok(Fill::Full);
            }
            match timeout(PIECE_DEADLINE, self.next_piece()).await.map_err(|_| Error::Timeout)?? {
                Some(piece) => {
                    self.received.add(piece.len())?;
                    self.rest = piece;
                }
                None => return self.body.finish(most),
            }
        }
    }

    /// The next piece of the body as the server sends it. Trailers are ignored.
    async fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        let stream = self.response.body_mut();
        while let Some(frame) = poll_fn(|context| Pin::new(&mut *stream).poll_frame(context)).await {
            if let Ok(piece) = frame.map_err(|error| Error::of_body(&error))?.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// The body as far as it was read, for a reader that takes it while it arrives.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        self.body.buffer()
    }

    /// The status, the headers and the body as far as it was read.
    pub(super) fn into_parts(mut self) -> (u16, HeaderMap, Vec<u8>) {
        let headers = std::mem::take(self.response.headers_mut());
        (self.response.status().as_u16(), headers, self.body.into_bytes())
    }
}

/// Compression makes a body at most a little longer.
pub(super) const fn most_compressed(limit: usize) -> usize {
    limit + limit / 8 + KIB
}

/// The bytes on the wire that a body of `limit` bytes may take, with the framing of chunks and of TLS. Both may double
/// it, and for [`MOST_PIECES`] small pieces they take up to 64 bytes each.
pub(super) const fn most_on_wire(limit: usize) -> u64 {
    (2 * most_compressed(limit) + 64 * MOST_PIECES) as u64
}

/// What the server has sent of the body, without the framing of the chunks.
struct Received {
    most: usize,
    bytes: usize,
    pieces: usize,
}

impl Received {
    fn new(limit: usize) -> Self {
        Self { most: most_compressed(limit), bytes: 0, pieces: 0 }
    }

    fn add(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes += bytes;
        self.pieces += 1;
        if self.bytes > self.most {
            return Err(Error::BodyTooLarge);
        }
        if self.pieces > MOST_PIECES + self.bytes / LEAST_PIECE {
            return Err(Error::Unexpected("the answer comes in too many small pieces"));
        }
        Ok(())
    }
}

/// The body, decompressed.
enum Body {
    Plain(Vec<u8>),
    Gzip(Box<Gzip>),
}

struct Gzip {
    decoder: GzDecoder<Vec<u8>>,
    /// Whether there is any input. An answer without a body may have the header.
    started: bool,
    members: usize,
}

impl Body {
    fn of(headers: &HeaderMap) -> Self {
        let encoding = headers.get(CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes().trim_ascii());
        if encoding.eq_ignore_ascii_case(b"gzip") || encoding.eq_ignore_ascii_case(b"x-gzip") {
            let decoder = GzDecoder::new(Vec::new());
            return Self::Gzip(Box::new(Gzip { decoder, started: false, members: 1 }));
        }
        Self::Plain(Vec::new())
    }

    /// Decodes the piece until the body has more than `most` bytes.
    fn decode(&mut self, piece: &mut Bytes, most: usize) -> Result<Fill, Error> {
        while !piece.is_empty() && self.len() <= most {
            match self {
                Self::Plain(body) => {
                    let length = (most - body.len()).saturating_add(1).min(piece.len());
                    body.extend_from_slice(&piece.split_to(length));
                }
                Self::Gzip(gzip) => gzip.decode(piece)?,
            }
        }
        Ok(if self.len() > most { Fill::Full } else { Fill::Ended })
    }

    /// Checks that the body is complete.
    fn finish(&mut self, most: usize) -> Result<Fill, Error> {
        if let Self::Gzip(gzip) = self
            && gzip.started
        {
            gzip.decoder.try_finish().map_err(|_| Error::GARBLED)?;
        }
        Ok(if self.len() > most { Fill::Full } else { Fill::Ended })
    }

    fn len(&self) -> usize {
        match self {
            Self::Plain(body) => body.len(),
            Self::Gzip(gzip) => gzip.decoder.get_ref().len(),
        }
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(body) => body,
            Self::Gzip(gzip) => gzip.decoder.get_mut(),
        }
    }

    fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(self.buffer())
    }
}

impl Gzip {
    /// Decodes a part of the piece. One call adds at most a few times 32 KiB, the decoder's own buffer.
    fn decode(&mut self, piece: &mut Bytes) -> Result<(), Error> {
        self.started = true;
        match self.decoder.write(piece) {
            Ok(0) => self.next_member(),
            Ok(taken) => {
                piece.advance(taken);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(_) => Err(Error::GARBLED),
        }
    }

    /// The member has ended, and there is more input.
    fn next_member(&mut self) -> Result<(), Error> {
        self.decoder.try_finish().map_err(|_| Error::GARBLED)?;
        self.members += 1;
        if self.members > MOST_MEMBERS {
            return Err(Error::GARBLED);
        }
        self.decoder = GzDecoder::new(std::mem::take(self.decoder.get_mut()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress, write::GzEncoder};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// The decoded body, and how many bytes of the input were accepted.
    fn read(encoding: &'static str, input: &[u8], piece: usize, limit: usize) -> (Result<Vec<u8>, Error>, usize) {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, encoding.parse().unwrap())]);
        let (mut body, mut received) = (Body::of(&headers), Received::new(limit));
        let mut all = || {
            for piece in input.chunks(piece) {
                received.add(piece.len())?;
                if body.decode(&mut Bytes::copy_from_slice(piece), limit)? == Fill::Full {
                    return Err(Error::BodyTooLarge);
                }
            }
            (body.finish(limit)? == Fill::Ended).then_some(()).ok_or(Error::BodyTooLarge)
        };
        let ended = all();
        (ended.map(|()| body.into_bytes()), received.bytes)
    }

    #[test]
    fn ordinary_bodies_are_read() {
        let text: Vec<u8> = (0..300_000_u32).flat_map(|number| number.to_be_bytes()).collect();
        let two = [gzip(b"one "), gzip(b"two")].concat();
        for (name, encoding, input, piece, expected) in [
            ("plain", "", text.clone(), 16 << 10, &text[..]),
            ("gzip", "gzip", gzip(&text), 16 << 10, &text),
            ("small segments of a network", "gzip", gzip(&text), 536, &text),
            ("a short body byte by byte", "X-GZip", gzip(b"short"), 1, b"short"),
            ("two members", "gzip", two, 7, b"one two"),
            ("a member without content", "gzip", gzip(b""), 4, b""),
            ("no body", "gzip", Vec::new(), 1, b""),
        ] {
            let (body, received) = read(encoding, &input, piece, 2 << 20);
            assert!(body.is_ok_and(|body| body == expected), "{name}");
            assert_eq!(received, input.len(), "{name}");
        }
    }

    /// A line is: the encoding, the bytes that the server sends, the size of each piece, the error, and a bound for the
    /// bytes that are read.
    #[test]
    fn what_costs_processor_time_ends() {
        const LIMIT: usize = 256 << 10;
        const MOST: usize = LIMIT + LIMIT / 8 + KIB;
        let small = Error::Unexpected("the answer comes in too many small pieces");
        let empty_blocks = [&gzip(b"")[..10], &[0, 0, 0, 0xff, 0xff].repeat(1 << 20)].concat();
        let mut compress = Compress::new(Compression::fast(), false);
        let mut block = Vec::with_capacity(64 << 10);
        compress.compress_vec(&vec![b' '; 1 << 20], &mut block, FlushCompress::Full).unwrap();
        let bomb = [&gzip(b"")[..10], &block.repeat(100)].concat();
        for (name, encoding, input, piece, error, most) in [
            ("empty blocks", "gzip", empty_blocks.clone(), 16 << 10, Error::BodyTooLarge, MOST + (16 << 10)),
            ("empty blocks, each a piece", "gzip", empty_blocks, 5, small.clone(), 32 << 10),
            ("empty members", "gzip", gzip(b"").repeat(1 << 16), 16 << 10, Error::GARBLED, 16 << 10),
            ("a bomb", "gzip", bomb, 16 << 10, Error::BodyTooLarge, 16 << 10),
            ("one-byte pieces", "", vec![b' '; 1 << 20], 1, small, 8 << 10),
            ("a long body", "", vec![b' '; 1 << 20], 16 << 10, Error::BodyTooLarge, LIMIT + (16 << 10)),
            ("bytes after the last member", "gzip", [gzip(b"a"), vec![0; 99]].concat(), 9, Error::GARBLED, 99),
            ("a member that does not end", "gzip", gzip(b"abc")[..12].to_vec(), 99, Error::GARBLED, 12),
        ] {
            let (body, received) = read(encoding, &input, piece, LIMIT);
            assert_eq!(body.unwrap_err(), error, "{name}");
            assert!(received <= most, "{name}: {received} bytes were read");
        }
    }
}
