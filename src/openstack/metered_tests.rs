//! A server at the other end of a connection, with the clock paused.

use std::pin::pin;

use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    time::Instant,
};

use super::*;
use crate::openstack::Error;

/// The client's end, and the server's.
async fn connection() -> (SendRequest<String>, Arc<Meter>, DuplexStream) {
    let (client, server) = duplex(16 << 10);
    let meter = Arc::<Meter>::default();
    let wire = Metered::wire(client, meter.clone());
    let http = TokioIo::new(Metered::http(wire, meter.clone(), false));
    let mut builder = http1::Builder::new();
    let (sender, connection) = builder.max_buf_size(LONGEST_HEAD).handshake(http).await.unwrap();
    tokio::spawn(connection);
    (sender, meter, server)
}

/// Sends a request, and reads it at the other end.
async fn ask(
    sender: &mut SendRequest<String>,
    server: &mut DuplexStream,
) -> impl Future<Output = hyper::Result<http::Response<Incoming>>> + use<> {
    sender.ready().await.unwrap();
    let mut answer = Box::pin(sender.send_request(http::Request::new(String::new())));
    let mut request = [0; 4096];
    tokio::select! {
        biased;
        _ = &mut answer => panic!("there is an answer before the request"),
        read = server.read(&mut request) => assert!(read.unwrap() > 0),
    }
    answer
}

/// Sends a text so many times, after a pause each. Returns the number of bytes that could be sent.
async fn send(server: &mut DuplexStream, pause: u64, text: &str, times: usize) -> usize {
    for number in 0..times {
        if pause > 0 {
            sleep(Duration::from_secs(pause)).await;
        }
        if server.write_all(text.as_bytes()).await.is_err() {
            return number * text.len();
        }
    }
    times * text.len()
}

async fn length(mut body: Incoming) -> Result<usize, Error> {
    let mut length = 0;
    while let Some(frame) = std::future::poll_fn(|context| pin!(&mut body).poll_frame(context)).await {
        length += frame.map_err(|error| Error::of_body(&error))?.into_data().map_or(0, |data| data.len());
    }
    Ok(length)
}

/// A line is: what the server sends first; the pause before each further piece in seconds, the piece, and the number of
/// pieces; what it sends last; the status or the error, and after how many seconds.
#[tokio::test(start_paused = true)]
async fn a_head_that_has_begun_ends_and_is_short() {
    const ENDLESS: usize = usize::MAX;
    let (end, whole) = ("\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let begin = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: ";
    let interim = |status| format!("HTTP/1.1 {status} Wait\r\n\r\n");
    let [continues, processing, hints, unknown] = [100, 102, 103, 199].map(interim);
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
    let long = Error::Unexpected("the head of the answer is too long");
    for (name, first, pause, piece, times, last, expected, seconds) in [
        ("an answer at once", whole, 0, "", 0, "", Ok(200), 0),
        ("an answer after two minutes", "", 120, "", 1, whole, Ok(200), 120),
        ("an answer after interim answers", &continues, 0, hint, 20, whole, Ok(200), 0),
        ("a head of 14 s", begin, 1, "x", 14, end, Ok(200), 14),
        ("a head of 32 KiB", begin, 0, "x", 32 << 10, end, Ok(200), 0),
        ("one byte a second", begin, 1, "x", ENDLESS, "", Err(Error::Timeout), 15),
        ("one byte a second after a minute", "", 61, begin, ENDLESS, "", Err(Error::Timeout), 76),
        ("the beginning of a head", "H", 100, "", 1, whole, Err(Error::Timeout), 15),
        ("one interim answer a second", "", 1, hint, ENDLESS, "", Err(Error::Timeout), 16),
        ("an interim answer and nothing else", &continues, 100, "", 1, whole, Err(Error::Timeout), 15),
        ("an empty line a second", "", 1, "\r\n", ENDLESS, "", Err(Error::Timeout), 16),
        ("100 without end", "", 0, &continues, ENDLESS, "", Err(long.clone()), 0),
        ("102 without end", "", 0, &processing, ENDLESS, "", Err(long.clone()), 0),
        ("103 without end", "", 0, &hints, ENDLESS, "", Err(long.clone()), 0),
        ("199 without end", "", 0, &unknown, ENDLESS, "", Err(long.clone()), 0),
        ("103 with headers without end", "", 0, hint, ENDLESS, "", Err(long.clone()), 0),
        ("one header without end", begin, 0, &"xxxxxxxx".repeat(100), ENDLESS, "", Err(long.clone()), 0),
        ("headers without end", begin, 0, &"x\r\nA: x".repeat(100), ENDLESS, "", Err(long.clone()), 0),
        ("empty lines without end", "", 0, &"\r\n".repeat(100), ENDLESS, "", Err(long), 0),
    ] {
        let (mut sender, _, mut server) = connection().await;
        let answer = ask(&mut sender, &mut server).await;
        let began = Instant::now();
        let serve = async {
            server.write_all(first.as_bytes()).await.unwrap();
            let sent = send(&mut server, pause, piece, times).await;
            let _ = server.write_all(last.as_bytes()).await;
            (sent, server)
        };
        let wait = async { (answer.await, began.elapsed().as_secs()) };
        let ((answer, after), (sent, _server)) = tokio::join!(wait, serve);
        let answer = answer.map(|answer| answer.status().as_u16());
        let answer = answer.map_err(|error| Error::of_transport(&error));
        assert_eq!((answer, after), (expected, seconds), "{name}");
        assert!(sent <= HEAD as usize + (64 << 10), "{name}: {sent} bytes");
    }
}

/// A line is: the head, what the server sends once and then repeats, and the bytes of the body or the error.
#[tokio::test(start_paused = true)]
async fn the_framing_of_a_body_is_bounded() {
    const MOST: usize = 1 << 20;
    let (fixed, chunked) = ("Content-Length: 500000", "Transfer-Encoding: chunked");
    let around = Error::Unexpected("the answer has too much data around its body");
    for (name, header, first, piece, times, expected) in [
        ("a body", fixed, "", &"12345".repeat(100), 1000, Ok(500_000)),
        ("chunks", chunked, "", &"5\r\n12345\r\n".repeat(100), 100, Ok(50_000)),
        ("zeros before the size of a chunk", chunked, "", &"0".repeat(1000), usize::MAX, Err(around.clone())),
        ("one-byte chunks", chunked, "", &"1\r\n1\r\n".repeat(1000), usize::MAX, Err(around)),
        ("an extension of a chunk", chunked, "1;", &"x".repeat(1000), usize::MAX, Err(Error::MISFRAMED)),
        (
            "a short extension of each chunk",
            chunked,
            "",
            &"1;a=b\r\n1\r\n".repeat(1000),
            usize::MAX,
            Err(Error::MISFRAMED),
        ),
        ("trailers", chunked, "0\r\n", &"A: b\r\n".repeat(1000), usize::MAX, Err(Error::MISFRAMED)),
    ] {
        let (mut sender, meter, mut server) = connection().await;
        let answer = ask(&mut sender, &mut server).await;
        let serve = async {
            server.write_all(format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n{first}").as_bytes()).await.unwrap();
            let sent = send(&mut server, 0, piece, times).await;
            let _ = server.write_all(if header == chunked { b"0\r\n\r\n" } else { b"" }).await;
            sent
        };
        let read = async {
            let answer = answer.await.unwrap();
            meter.head_ended(MOST as u64);
            length(answer.into_body()).await
        };
        let (read, sent) = tokio::join!(read, serve);
        assert_eq!(read, expected, "{name}");
        assert!(sent <= MOST + (64 << 10), "{name}: {sent} bytes");
    }
}

/// Each request has the whole bounds, and nothing of the time of an earlier one.
#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again() {
    let (mut sender, meter, mut server) = connection().await;
    for number in 0..20 {
        let answer = ask(&mut sender, &mut server).await;
        let serve = async {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\nA: {}\r\n\r\n", "x".repeat(40_000));
            send(&mut server, 10, &head, 1).await;
            // A body may take its time.
            send(&mut server, 4, &" ".repeat(50_000), 4).await
        };
        let read = async {
            let answer = answer.await.unwrap();
            meter.head_ended(1 << 20);
            length(answer.into_body()).await
        };
        let (read, _) = tokio::join!(read, serve);
        assert_eq!(read, Ok(200_000), "{number}");
        // Between calls, too.
        sleep(Duration::from_secs(20)).await;
    }
}
