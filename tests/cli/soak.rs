//! What takes its time: run by `cargo xtask soak`.

use std::io::{BufWriter, Write as _};
use std::time::Instant;

use end_to_end::Work;

#[test]
#[ignore = "soak"]
fn soak_a_million_annotations_go_in_and_verify() {
    const N: u64 = 1_000_000;
    let work = Work::with_log();
    let mut file = BufWriter::new(std::fs::File::create(work.path("many.jsonl")).unwrap());
    for n in 0..N {
        let (person, reward) = (n % 1000, n % 5 + 1);
        writeln!(
            file,
            r#"{{"prompt":"question {n}","response":"answer {n}","annotator_id":"person {person}","reward":{reward}}}"#
        )
        .unwrap();
    }
    file.into_inner().unwrap().sync_all().unwrap();
    let start = Instant::now();
    assert_eq!(work.json("log annotations log many.jsonl")["logged"], N);
    eprintln!("logged {N} annotations in {:.1} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let report = work.report("log --policy policy", 0);
    assert_eq!(report["size"], N + 1);
    eprintln!("verified them in {:.1} s", start.elapsed().as_secs_f64());
}
