//! One request and one answer over HTTP, as little of RFC 9112 as that takes.
//!
//! Not a library's client and server, because the tests must also send and lose half an answer.

use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value as Json;

/// Longer than any service here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: String,
    /// The path, with the query if there is one.
    pub path: String,
    /// The content type, or nothing.
    pub content_type: String,
    /// The content.
    pub body: Vec<u8>,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers that matter, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer of some type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { status, headers, body: body.into() }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The content, which must be JSON.
    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).expect("an answer in JSON")
    }

    /// The content, which must be text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("an answer in UTF-8")
    }
}

/// Asks for a URL `http://HOST:PORT/…`.
pub fn get(url: &str) -> io::Result<Reply> {
    to(url, "GET", "", b"")
}

/// Posts to a URL `http://HOST:PORT/…`.
pub fn post(url: &str, content_type: &str, body: &[u8]) -> io::Result<Reply> {
    to(url, "POST", content_type, body)
}

fn to(url: &str, method: &str, content_type: &str, body: &[u8]) -> io::Result<Reply> {
    let rest = url.strip_prefix("http://").ok_or(io::ErrorKind::InvalidInput)?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = Request {
        method: method.to_owned(),
        path: format!("/{path}"),
        content_type: content_type.to_owned(),
        body: body.to_vec(),
    };
    send(address, &request)
}

/// Sends a request to `HOST:PORT`. HTTP/1.0, so that no answer comes in chunks.
pub fn send(address: &str, request: &Request) -> io::Result<Reply> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let Request { method, path, content_type, body } = request;
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n");
    if !content_type.is_empty() {
        head += &format!("Content-Type: {content_type}\r\n");
    }
    if method == "POST" {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    (&stream).write_all(format!("{head}\r\n").as_bytes())?;
    (&stream).write_all(body)?;

    let mut reader = BufReader::new(&stream);
    let (first, headers) = read_head(&mut reader)?;
    let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let body = read_body(&mut reader, &headers, true)?;
    Ok(Reply { status, headers, body })
}

/// Passes a request on to the server on this loopback port.
pub fn forward(port: &AtomicU16, request: &Request) -> Reply {
    let server = format!("127.0.0.1:{}", port.load(Ordering::SeqCst));
    send(&server, request).unwrap_or_else(|error| Reply::new(502, "text/plain", error.to_string()))
}

/// Reads the request that a client sends on a connection.
pub fn receive(stream: &TcpStream) -> io::Result<Request> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let (first, headers) = read_head(&mut reader)?;
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let body = read_body(&mut reader, &headers, false)?;
    let content_type = headers.into_iter().find(|(name, _)| name == "content-type");
    Ok(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        content_type: content_type.map(|(_, value)| value).unwrap_or_default(),
        body,
    })
}

/// Answers on a connection with the first `length` bytes of the content, and closes it.
pub fn answer(mut stream: &TcpStream, reply: &Reply, length: usize) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} .\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", reply.body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&reply.body[..length])
}

type Headers = Vec<(String, String)>;

fn read_head(reader: &mut impl BufRead) -> io::Result<(String, Headers)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    if lines.is_empty() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let first = lines.remove(0);
    let headers = lines
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        // The connection's own; whoever passes an answer on writes them anew.
        .filter(|(name, _)| !matches!(name.as_str(), "connection" | "date"))
        .collect();
    Ok((first, headers))
}

/// Reads as much as the headers say; without a length everything, or nothing.
fn read_body(reader: &mut impl BufRead, headers: &Headers, to_end: bool) -> io::Result<Vec<u8>> {
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = Vec::new();
    match length {
        Some((_, length)) => {
            let length: u64 = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            reader.take(length).read_to_end(&mut body)?;
            if (body.len() as u64) < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        None if to_end => {
            reader.read_to_end(&mut body)?;
        }
        None => {}
    }
    Ok(body)
}
