//! HTTP/1.1 by hand: as much as the front needs.

use std::{fmt::Write as _, io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::front::Stream;

/// A request.
pub struct Request {
    pub path: String,
    head: String,
    body: Vec<u8>,
}

/// An answer.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// The request without this text, which the front has put before the token.
    pub fn without(&self, text: &str) -> Vec<u8> {
        let head = self.head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        let token = format!("x-auth-token: {text}");
        [head.replace(&token, "x-auth-token: ").into_bytes(), self.body.clone()].concat()
    }

    /// The value of a header; empty without one.
    pub fn header(&self, name: &str) -> &str {
        value(&self.head, name).unwrap_or_default()
    }

    pub fn body(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Reply {
    /// An answer with this status and this body as JSON.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), "application/json".to_owned())], body: body.into() }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same answer with another body.
    pub fn holding(&self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self.clone() }
    }

    pub fn change(&mut self, name: &str, change: impl Fn(&str) -> String) {
        for (_, value) in self.headers.iter_mut().filter(|(known, _)| known == name) {
            *value = change(value);
        }
    }

    /// The head without the length.
    pub fn open_head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} X\r\n", self.status);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        head
    }

    pub fn head(&self) -> String {
        let length = if matches!(self.status, 204 | 304) { String::new() } else { self.length(self.body.len()) };
        format!("{}{length}\r\n", self.open_head())
    }

    pub fn length(&self, bytes: usize) -> String {
        format!("content-length: {bytes}\r\n")
    }

    pub fn bytes(&self) -> Vec<u8> {
        let body = if matches!(self.status, 204 | 304) { &[][..] } else { &self.body };
        [self.head().as_bytes(), body].concat()
    }
}

/// The next request of a connection; `None` at its end.
pub async fn request(stream: &mut impl Stream) -> io::Result<Option<Request>> {
    let Some((head, mut body)) = head(stream).await? else { return Ok(None) };
    let length = value(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while body.len() < length {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Ok(None);
        }
        body.extend_from_slice(&piece[..count]);
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok(Some(Request { path, head, body }))
}

/// The answer of this server to these bytes.
pub async fn forward(to: SocketAddr, request: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(request).await?;
    let Some((head, mut body)) = head(&mut stream).await? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    stream.read_to_end(&mut body).await?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    let headers = headers.filter(|(name, _)| !matches!(name.as_str(), "content-length" | "connection"));
    Ok(Reply { status, headers: headers.collect(), body })
}

/// The head of a message, and the beginning of its body.
async fn head(stream: &mut impl Stream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), body)));
        }
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}

fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
