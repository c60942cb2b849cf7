//! Answers whose bytes are not what HTTP or their headers say.

use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};

use crate::{
    front::Flood,
    http::{Reply, Request},
};

/// In bytes. It is one piece of an endless body.
const PIECE: usize = 64 << 10;

pub fn short_length(reply: &Reply) -> Vec<u8> {
    let head = format!("{}{}\r\n", reply.open_head(), reply.length(reply.body.len() / 2));
    [head.as_bytes(), &reply.body].concat()
}

pub fn long_length(reply: &Reply) -> Vec<u8> {
    let head = format!("{}{}\r\n", reply.open_head(), reply.length(reply.body.len() + 100));
    [head.as_bytes(), &reply.body].concat()
}

pub fn garbage(reply: &Reply) -> Vec<u8> {
    let head = format!("{}transfer-encoding: chunked\r\n\r\n", reply.open_head());
    [head.as_bytes(), b"not hexadecimal\r\n", &reply.body].concat()
}

/// Each piece becomes a thousand times as long.
pub fn bomb(reply: &Reply) -> Flood {
    let head = format!("{}content-encoding: gzip\r\nconnection: close\r\n\r\n", reply.open_head());
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut compress = Compress::new(Compression::fast(), false);
    let mut block = Vec::with_capacity(PIECE);
    compress.compress_vec(&vec![b' '; 1 << 20], &mut block, FlushCompress::Full).unwrap();
    Flood { first: [head.as_bytes(), &header].concat(), then: block, pause: Duration::ZERO }
}

pub fn long_body(reply: &Reply) -> Flood {
    let head = format!("{}{}\r\n{{\"x\": \"", reply.open_head(), reply.length(1 << 30));
    Flood { first: head.into_bytes(), then: vec![b'x'; PIECE], pause: Duration::ZERO }
}

pub fn long_headers(_: &Request, reply: &Reply) -> Reply {
    with_fillers(reply, 1000)
}

pub fn too_long_headers(_: &Request, reply: &Reply) -> Reply {
    with_fillers(reply, 5000)
}

fn with_fillers(reply: &Reply, length: usize) -> Reply {
    (0..60).fold(reply.clone(), |reply, number| reply.with(&format!("x-filler-{number}"), &"x".repeat(length)))
}

pub fn interim(_: &Reply) -> Flood {
    let then = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n".to_vec();
    Flood { first: Vec::new(), then, pause: Duration::from_millis(1) }
}
