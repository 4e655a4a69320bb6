//! What clients of a service talk to: passes on what the service says, unless a test wants it lost,
//! late or different.

use std::fmt;
use std::io::Read as _;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::exchange::{self, Reply, Request};

/// What befalls one request.
pub enum Fault {
    /// The connection closes before the service has seen the request.
    Refuse,
    /// The service does its work, and the connection closes without an answer.
    LoseAnswer,
    /// The answer breaks off in the middle of its content.
    HalfAnswer,
    /// The service never sees the request, and the client waits until it gives up.
    Silence,
    /// The service gets the request only after a while.
    Delay(Duration),
    /// An answer that is not the service's, as a gateway before it gives.
    Answer(Reply),
    /// The service's answer, changed.
    Edit(Box<dyn Fn(&mut Reply) + Send>),
}

impl Fault {
    /// A gateway's answer of this status, perhaps with a `Retry-After`.
    pub fn status(status: u16, retry_after: Option<u32>) -> Self {
        let mut reply = Reply::new(status, "text/plain", format!("status {status}\n"));
        reply.headers.extend(retry_after.map(|s| ("retry-after".to_owned(), s.to_string())));
        Self::Answer(reply)
    }

    /// The service's answer with the first `from` of its content replaced.
    pub fn replace(from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Self {
        let (from, to) = (from.into(), to.into());
        Self::Edit(Box::new(move |reply| {
            let at = reply.body.windows(from.len()).position(|window| window == from);
            let at = at.expect("the answer has what a test wants replaced");
            reply.body.splice(at..at + from.len(), to.iter().copied());
        }))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse => "Refuse",
            Self::LoseAnswer => "LoseAnswer",
            Self::HalfAnswer => "HalfAnswer",
            Self::Silence => "Silence",
            Self::Delay(_) => "Delay",
            Self::Answer(_) => "Answer",
            Self::Edit(_) => "Edit",
        })
    }
}

type Service = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server on a loopback port of its own, which it keeps when it is stopped and started again.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    service: Box<Service>,
    closing: AtomicBool,
    faults: Mutex<Vec<(String, Fault)>>,
    seen: Mutex<Vec<Request>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl Front {
    /// Answers requests as this service does.
    pub fn start(service: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let shared = Shared {
            service: Box::new(service),
            closing: AtomicBool::new(false),
            faults: Mutex::default(),
            seen: Mutex::default(),
        };
        let address = listener.local_addr().unwrap();
        let mut front = Self { address, shared: Arc::new(shared), accepting: None };
        front.accept(listener);
        front
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What shall befall the next request whose path contains this; several wait in order.
    pub fn next(&self, path: &str, fault: Fault) {
        lock(&self.shared.faults).push((path.to_owned(), fault));
    }

    /// What was asked since the last time: every request that arrived, lost ones too.
    pub fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.shared.seen))
    }

    /// Stops listening: connections are refused until [`Front::resume`].
    pub fn stop(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect(self.address);
        let _ = accepting.join();
    }

    /// Listens again, on the same port.
    pub fn resume(&mut self) {
        if self.accepting.is_none() {
            self.shared.closing.store(false, Ordering::SeqCst);
            self.accept(TcpListener::bind(self.address).expect("the port is still free"));
        }
    }

    fn accept(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        self.accepting = Some(thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.closing.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // A client that hung up is the client's business.
                thread::spawn(move || stream.and_then(|stream| shared.serve(&stream)));
            }
        }));
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let request = exchange::receive(stream)?;
        lock(&self.seen).push(request.clone());
        let answer = |reply: &Reply| exchange::answer(stream, reply, reply.body.len());
        let result = match self.fault_of(&request) {
            None => answer(&(self.service)(&request)),
            Some(Fault::Refuse) => Ok(()),
            Some(Fault::LoseAnswer) => {
                (self.service)(&request);
                Ok(())
            }
            Some(Fault::HalfAnswer) => {
                let reply = (self.service)(&request);
                exchange::answer(stream, &reply, reply.body.len() / 2)
            }
            Some(Fault::Silence) => wait_for_hang_up(stream),
            Some(Fault::Delay(time)) => {
                thread::sleep(time);
                answer(&(self.service)(&request))
            }
            Some(Fault::Answer(reply)) => answer(&reply),
            Some(Fault::Edit(edit)) => {
                let mut reply = (self.service)(&request);
                edit(&mut reply);
                answer(&reply)
            }
        };
        let _ = stream.shutdown(Shutdown::Both);
        result
    }

    fn fault_of(&self, request: &Request) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        let at = faults.iter().position(|(path, _)| request.path.contains(path.as_str()))?;
        Some(faults.remove(at).1)
    }
}

fn wait_for_hang_up(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.read(&mut [0]).map(|_| ())
}

/// A test that failed while it held the lock is no reason for the others to hang.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
