//! `rlhf-audit serve`: the page, the log as static files, and nothing else of the folder.

use std::fs;

use end_to_end::{Served, Work, checkout, ratings, skip};

fn filled() -> Work {
    let work = Work::with_log();
    work.write("ratings.jsonl", ratings(300));
    work.json("log annotations log ratings.jsonl");
    work.json("evidence log -o a.evidence");
    work
}

/// Serving needs the page, which `cargo xtask pkg` builds; a fresh clone does not have it.
fn serve(work: &Work, typed: &str) -> Option<Served> {
    let served = Served::start(work, typed);
    if served.is_none() {
        skip("this build has no verifier page; run `cargo xtask pkg` first");
    }
    served
}

#[test]
fn the_page_the_tree_and_the_evidence_are_there() {
    let work = filled();
    let Some(served) = serve(&work, "serve log --evidence a.evidence") else { return };

    let page = served.get("/");
    assert_eq!(page.status, 200);
    let built = fs::read(checkout().join("pkg/verifier.html")).unwrap();
    assert!(page.body == built, "not the page that `cargo xtask pkg` built");
    assert!(page.head.contains("content-type: text/html"), "{}", page.head);
    assert!(page.head.contains("x-content-type-options: nosniff"), "{}", page.head);
    assert!(page.head.contains("referrer-policy: no-referrer"), "{}", page.head);

    assert_eq!(served.get("/checkpoint").body, work.read("log/checkpoint"));
    assert!(served.get("/checkpoint").head.contains("content-type: text/plain"));
    for tile in ["tile/0/000", "tile/0/001.p/46", "tile/1/000.p/1"] {
        let answer = served.get(&format!("/{tile}"));
        assert_eq!(
            (answer.status, answer.body),
            (200, work.read(&format!("log/{tile}"))),
            "{tile}"
        );
        assert!(answer.head.contains("immutable"), "{}", answer.head);
    }
    let listed = served.ready["evidence"][0].as_str().unwrap();
    assert!(listed.ends_with("/?evidence=/evidence/a.evidence"), "{listed}");
    assert_eq!(served.get("/evidence/a.evidence").body, work.read("a.evidence"));

    // Ctrl-C is the ordinary end, also while somebody holds a connection open.
    let idle = std::net::TcpStream::connect(&served.address).unwrap();
    assert!(served.interrupt().success());
    drop(idle);
}

#[test]
fn entries_are_closed_until_their_owner_opens_them() {
    let work = filled();
    let Some(closed) = serve(&work, "serve log") else { return };
    for bundle in ["/tile/entries/000", "/tile/entries/001.p/46", "/tile/entries/007"] {
        let answer = closed.get(bundle);
        assert_eq!(answer.status, 403, "{bundle}");
        assert!(String::from_utf8(answer.body).unwrap().contains("--open-entries"));
    }
    let report = work.report(&format!("http://{} --policy policy", closed.address), 0);
    assert_eq!((&report["verdict"], &report["entries"]["present"]), (&"signed".into(), &0.into()));
    assert_eq!(report["entries"]["complete"], false);
    assert_eq!(
        work.report(&format!("http://{}/", closed.address), 4)["verdict"],
        "self-consistent"
    );

    let open = serve(&work, "serve log --open-entries").unwrap();
    assert_eq!(open.get("/tile/entries/000").body, work.read("log/tile/entries/000"));
    assert_eq!(open.get("/tile/entries/007").status, 404);
    let report = work.report(&format!("http://{}/ --policy policy", open.address), 0);
    assert_eq!(
        (&report["verdict"], &report["entries"]["complete"]),
        (&"signed".into(), &true.into())
    );

    // Damage that is served is noticed from afar as well.
    let mut bundle = work.read("log/tile/entries/000");
    bundle[5000] ^= 1;
    work.write("log/tile/entries/000", &bundle);
    let report = work.report(&format!("http://{}/ --policy policy", open.address), 1);
    assert_eq!(report["verdict"], "failed");
}

#[test]
fn nothing_else_is_reachable() {
    let work = filled();
    work.write("outside", "outside");
    let Some(served) = serve(&work, "serve log --open-entries --evidence a.evidence") else {
        return;
    };
    let secrets: Vec<_> = work.files("log/private").into_iter().map(|(_, bytes)| bytes).collect();
    for path in [
        "/private/log.key",
        "/private/",
        "/private",
        "/log.json",
        "/policy/policy",
        "/cards/",
        "/tile/",
        "/tile/0/",
        "/tile/../private/log.key",
        "/tile/entries/../../private/log.key",
        "/tile/0/..%2f..%2fprivate/log.key",
        "/tile/%2e%2e/private/log.key",
        "/tile/%2e%2e%2fprivate%2flog.key",
        "/tile//private/log.key",
        "/tile/0/000/../../../private/log.key",
        "/tile/0/000%00.key",
        "/tile/x000/../../private/log.key",
        "/evidence/../log/private/log.key",
        "/evidence/..%2flog%2fprivate%2flog.key",
        "/evidence/%2e%2e%2foutside",
        "/evidence/outside",
        "/evidence/",
        "/../outside",
        "/%2e%2e/outside",
        "//private/log.key",
        "/checkpoint/../private/log.key",
        "/checkpoint%2f..%2fprivate%2flog.key",
    ] {
        let answer = served.get(path);
        assert!([400, 403, 404].contains(&answer.status), "{path}: {answer:?}");
        assert!(
            !secrets.iter().any(|secret| !secret.is_empty() && *secret == answer.body),
            "{path}"
        );
        assert!(answer.body.len() < 200, "{path}: {answer:?}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let host = &served.address;
        let answer = served.send(&format!(
            "{method} /checkpoint HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n"
        ));
        assert_eq!(answer.status, 405, "{method}");
    }
}

#[test]
fn only_requests_to_this_machine_are_answered() {
    let work = filled();
    let Some(served) = serve(&work, "serve log --evidence a.evidence") else { return };
    let port = served.address.rsplit(':').next().unwrap();
    for (host, status) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("localhost:{port}"), 200),
        ("evil.example".to_owned(), 421),
        (format!("evil.example:{port}"), 421),
        (format!("127.0.0.1.evil.example:{port}"), 421),
        (format!("localhost.evil.example:{port}"), 421),
        (String::new(), 421),
    ] {
        for path in ["/", "/checkpoint", "/evidence/a.evidence", "/nothing"] {
            let answer = served.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n"));
            let expected = if path == "/nothing" && status == 200 { 404 } else { status };
            assert_eq!(answer.status, expected, "{host} {path}");
        }
    }
    let answer = served.send("GET / HTTP/1.0\r\n");
    assert_eq!(answer.status, 421, "without a host");
}

#[test]
fn what_cannot_be_served_is_said_at_once() {
    let work = filled();
    let Some(served) = serve(&work, "serve log") else { return };
    let port = served.address.rsplit(':').next().unwrap();
    let sentence = work.refused(&format!("serve log --port {port}"));
    assert!(sentence.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{sentence}");
    for missing in ["absent", "policy"] {
        let sentence = work.refused(&format!("serve log --port 0 --evidence {missing}"));
        assert!(sentence.starts_with(&format!("{missing}: ")), "{sentence}");
    }
}

#[test]
fn a_url_that_is_no_log() {
    let work = filled();
    // Nobody listens: an outside service failed.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let answer = work.run(&format!("verify http://127.0.0.1:{port}")).ended(3);
    assert!(
        answer.stderr.contains(&format!("http://127.0.0.1:{port}/checkpoint: ")),
        "{answer:#?}"
    );
    let Some(served) = serve(&work, "serve log") else { return };
    let answer =
        work.run(&format!("verify http://{}/nothing/here --json", served.address)).ended(3);
    assert!(
        answer.stderr.contains("/nothing/here/checkpoint: the server answered 404"),
        "{answer:#?}"
    );
    assert_eq!(answer.stdout, "");
}

#[test]
fn the_demo_ends_at_an_address() {
    let work = Work::empty();
    let Some(served) = serve(&work, "demo --dir demo") else { return };
    let url = served.ready["url"].as_str().unwrap();
    let path = url.split_once("?evidence=").unwrap().1;
    assert_eq!(served.get(path).body, work.read("demo/demo.evidence"));
    assert_eq!(work.report("demo/demo.evidence --policy demo/log/policy", 0)["verdict"], "signed");
    assert!(served.interrupt().success());
    // A second one needs a folder of its own.
    assert!(work.refused("demo --dir demo --no-serve").contains("demo: the folder is not empty"));
}
