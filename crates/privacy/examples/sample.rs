//! Draws noise and prints it, one number a line; how long the drawing took goes to standard error.
//!
//! `sample gaussian VARIANCE COUNT`, `sample laplace NUMERATOR DENOMINATOR COUNT`,
//! `sample response NUMERATOR DENOMINATOR COUNT` (of true choices: 1 is told truly, 0 is not)

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use privacy::mechanism::{DiscreteGaussian, DiscreteLaplace, RandomisedResponse};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let start = Instant::now();
    let drawn = match words[..] {
        ["gaussian", variance, count] => {
            DiscreteGaussian::new(variance.parse()?)?.add(&vec![0; count.parse()?])?
        }
        ["laplace", n, d, count] => {
            DiscreteLaplace::new(n.parse()?, d.parse()?)?.add(&vec![0; count.parse()?])?
        }
        ["response", n, d, count] => {
            let response = RandomisedResponse::new(n.parse()?, d.parse()?)?;
            response.tell(&vec![true; count.parse()?])?.into_iter().map(i64::from).collect()
        }
        _ => return Err("usage: sample gaussian|laplace|response PARAMETER... COUNT".into()),
    };
    eprintln!("{} draws in {:?}", drawn.len(), start.elapsed());
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for number in drawn {
        writeln!(out, "{number}")?;
    }
    Ok(out.flush()?)
}
