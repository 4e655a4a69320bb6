//! Requests to services outside: bounded in time and in size, their failures told apart by what helps.

use std::fmt;
use std::io::Read as _;
use std::time::Duration;

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::{Url, redirect};

use crate::error::Error;

/// Rekor v2 answers when a checkpoint covers the entry, within 20 seconds.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An answer larger than this is refused. Real ones have some KB.
const MAX_BODY: u64 = 1 << 20;

/// Why there is no answer that could be used.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It cannot be reached, or failed: later it may not.
    Unreachable(String),
    /// It asks to be left alone for a while.
    Busy(String, Option<Duration>),
    /// This shard of the log takes no entries any more.
    Frozen(String),
    /// It answered something that must not be believed, or does not take what we send.
    Refused(String),
    /// This machine failed.
    Local(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Local(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why)
            | Self::Busy(why, _)
            | Self::Frozen(why)
            | Self::Refused(why) => f.write_str(why),
            Self::Local(error) => error.fmt(f),
        }
    }
}

/// What a service answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub url: String,
    pub status: u16,
    pub index: Option<u64>,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer is of no use: what can be done about it, by its status.
    pub fn trouble(&self, retry_after: Option<Duration>) -> Trouble {
        let said = String::from_utf8_lossy(&self.body);
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        let why = format!("{}: the server answered {}: {said}", self.url, self.status);
        match self.status {
            405 => Trouble::Frozen(why),
            429 | 503 => Trouble::Busy(why, retry_after),
            408 | 499 | 500.. => Trouble::Unreachable(why),
            _ => Trouble::Refused(why),
        }
    }

    /// The answer is not what it should be.
    pub fn refuse(&self, why: impl fmt::Display) -> Trouble {
        Trouble::Refused(format!("{}: the answer was refused: {why}", self.url))
    }
}

/// A client for all services.
#[derive(Clone, Debug)]
pub(crate) struct Http(Client);

impl Http {
    pub fn new() -> Result<Self, Error> {
        // Without a provider set, reqwest would panic; a second call finds it set, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // What was agreed to be sent to one address is not sent to another.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("rlhf-audit/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
            .map_err(|e| Error::Publish(format!("the HTTP client cannot be made: {e}")))
    }

    pub fn get(&self, url: &str) -> Result<Answer, Trouble> {
        self.send(url, self.0.get(url))
    }

    pub fn post(&self, url: &str, kind: &str, body: Vec<u8>) -> Result<Answer, Trouble> {
        let request = self.0.post(url).header("content-type", kind).header("accept", accept(kind));
        self.send(url, request.body(body))
    }

    /// Any answer but one that asks for patience, or tells of the server's own failure.
    fn send(&self, url: &str, request: RequestBuilder) -> Result<Answer, Trouble> {
        let failed =
            |e: &dyn std::error::Error| Trouble::Unreachable(format!("{url}: {}", root_cause(e)));
        let response = request.send().map_err(|e| failed(&e))?;
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let retry_after = header("retry-after").and_then(|after| after.parse().ok());
        let mut answer = Answer {
            url: url.to_owned(),
            status: response.status().as_u16(),
            index: header("x-log-index").and_then(|index| index.parse().ok()),
            location: header("location"),
            body: Vec::new(),
        };
        answer.body = read(response).map_err(|e| failed(&e))?;
        if answer.body.len() as u64 > MAX_BODY {
            return Err(answer.refuse("it is larger than any real one"));
        }
        match answer.status {
            405 | 408 | 429 | 499.. => Err(answer.trouble(retry_after.map(Duration::from_secs))),
            _ => Ok(answer),
        }
    }
}

fn read(response: Response) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    response.take(MAX_BODY + 1).read_to_end(&mut body)?;
    Ok(body)
}

fn accept(kind: &str) -> &str {
    if kind == "application/timestamp-query" { "application/timestamp-reply" } else { kind }
}

/// An address that may be used: `https`, or `http` where nobody is between, or where that was asked for.
pub(crate) fn check_url(url: &str, insecure: bool) -> Result<String, Error> {
    let refuse = |why: &str| Err(Error::Publish(format!("{url}: {why}")));
    let Ok(parsed) = Url::parse(url) else { return refuse("not a URL") };
    let loopback = match parsed.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()),
        None => return refuse("no host is named in it"),
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(Error::Publish(
            "a service's URL must not hold a user's name or password".into(),
        ));
    }
    match parsed.scheme() {
        "https" => Ok(url.trim_end_matches('/').to_owned()),
        "http" if loopback || insecure => Ok(url.trim_end_matches('/').to_owned()),
        "http" => refuse("only https:// is used beyond this machine; --insecure-http allows it"),
        _ => refuse("not an https:// URL"),
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for url in
            ["https://rekor.example", "http://127.0.0.1:1", "http://localhost/", "http://[::1]:9"]
        {
            assert!(check_url(url, false).is_ok(), "{url}");
        }
        for url in
            ["http://rekor.example", "http://127.0.0.1.example", "ftp://localhost", "rekor", ""]
        {
            assert!(check_url(url, false).is_err(), "{url}");
        }
        assert!(check_url("http://rekor.example", true).is_ok());
        let error = check_url("https://me:secret@rekor.example", false).unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
