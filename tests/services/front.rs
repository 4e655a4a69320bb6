//! What a test can do to an answer, whatever the service behind.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use end_to_end::services::{Fault, Front, Reply, get, post};

#[test]
fn each_fault_befalls_one_request() {
    let front = Front::start(|request| Reply::new(200, "text/plain", request.body.clone()));
    let ask = || post(&format!("{}/there", front.url()), "text/plain", b"0123456789");
    let proper = || assert_eq!(ask().unwrap().body, b"0123456789");

    for lost in [Fault::Refuse, Fault::LoseAnswer, Fault::HalfAnswer] {
        front.next("/there", lost);
        assert_eq!(ask().unwrap_err().kind(), ErrorKind::UnexpectedEof);
        proper();
    }
    front.next("/there", Fault::status(503, None));
    assert_eq!(ask().unwrap().status, 503);
    front.next("/there", Fault::replace("34", "x"));
    assert_eq!(ask().unwrap().body, b"012x56789");
    front.next("/there", Fault::Delay(Duration::from_millis(200)));
    let start = Instant::now();
    proper();
    assert!(start.elapsed() >= Duration::from_millis(200));

    front.next("/there", Fault::Silence);
    let mut client = TcpStream::connect(front.url().trim_start_matches("http://")).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    client.write_all(b"GET /there HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    proper();

    front.next("/elsewhere", Fault::Refuse);
    proper();
    assert!(get(&format!("{}/elsewhere", front.url())).is_err());
    front.seen();
    proper();
    assert_eq!(front.seen().len(), 1);
}
