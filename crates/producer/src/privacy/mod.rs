//! Releasing what follows from ratings, noised and within a budget.
//!
//! In a `strong` log, a round covers the ratings logged since the last one. Its order of steps is what makes the budget hold whatever
//! fails: charge everyone who takes part, make that durable, draw the noise, make the answer durable, and only then log
//! it and hand it out. A crash leaves a charge without an answer, which stays and buys nothing, or an answer, which the
//! next start logs as it is. Noise is never drawn twice for one answer. In a `moderate` log, values are released one by
//! one as they are logged ([`batch`]).

mod batch;
#[cfg(test)]
mod batch_survival;
mod ledger;
#[cfg(test)]
mod lives;
mod planning;
mod repeat;
mod report;
mod round;
mod settings;
mod shown;
#[cfg(test)]
mod survival;
mod training;
mod value;

pub(crate) use batch::{Batches, Tally};
pub(crate) use ledger::{Ledger, Permit};
pub use planning::{Noise, PrivacyPlan};
pub(crate) use repeat::Before;
pub use report::{Cost, MIN_GROUP, PrivacyReport, RoundCost};
pub use round::{Round, RoundRequest};
pub use settings::{PrivacyMode, PrivacySettings};
pub use shown::privacy_report;
pub(crate) use value::{Drawn, Draws};
pub use value::{Released, ReleasedValue};

use trail::cbor;
use trail::event::EventError;
use trail::{Event, EventType};

use crate::audit::Audit;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::folder::Folder;
use ledger::Record;
use settings::Plan;

/// The promise to the annotators of a log, and what was charged against it.
#[derive(Debug)]
pub(crate) struct Privacy {
    pub settings: PrivacySettings,
    pub plan: Plan,
    pub ledger: Ledger,
}

impl Privacy {
    /// Whether only sums are released.
    pub fn is_strong(&self) -> bool {
        self.settings.mode == PrivacyMode::Strong
    }

    pub fn open(
        disk: &Disk,
        folder: &Folder,
        origin: &str,
        settings: PrivacySettings,
    ) -> Result<Self> {
        let plan = settings.plan()?;
        let ledger = Ledger::open(disk, &folder.privacy_ledger(), origin)?;
        let most = ledger.spent().fold(0.0, f64::max);
        if most > plan.budget.get() {
            return Err(Error::PrivacySettings(format!(
                "{}: epsilon {} in all is less than what was already spent on some annotators",
                folder.description().display(),
                settings.epsilon
            )));
        }
        Ok(Self { settings, plan, ledger })
    }
}

impl Audit {
    /// Compares the ledger with the log, and logs what was answered and did not come to be logged.
    pub(crate) fn settle_privacy(&mut self) -> Result<()> {
        let Some(privacy) = &self.privacy else { return Ok(()) };
        let known = privacy.ledger.last_released();
        if let Some((round, index)) = known {
            self.compare_released(round, index)?;
        }
        let first = known.map_or(0, |(_, index)| index + 1);
        let unknown = self.rounds_since(first)?;
        let Some(privacy) = &mut self.privacy else { return Ok(()) };
        // Before anything is written: a ledger that is not this log's stays as it was found.
        let mut logged = Vec::new();
        for (index, data) in &unknown {
            match privacy
                .ledger
                .unreleased(data)?
                .filter(|round| !logged.contains(&(*round, *index)))
            {
                Some(round) => logged.push((round, *index)),
                None => {
                    return Err(Error::damaged(
                        privacy.ledger.path(),
                        "the log holds a release that this ledger does not know: it was restored from an older copy; \
                         restore the newest copy of the whole folder",
                    ));
                }
            }
        }
        privacy.ledger.settle()?;
        for (round, index) in logged {
            privacy.ledger.release(round, index)?;
        }
        let answered = match privacy.ledger.rounds().last() {
            Some(round) if round.index.is_none() => privacy.ledger.answer_of(round)?,
            _ => None,
        };
        answered.map_or(Ok(()), |answer| self.log_answer(&answer).map(drop))
    }

    /// A release is in the log where the ledger noted it, as it was answered.
    fn compare_released(&self, round: &Record, index: u64) -> Result<()> {
        let Some(Privacy { ledger, .. }) = &self.privacy else { return Ok(()) };
        let logged = if index < self.size() { round_data(&self.event(index)?)? } else { None };
        if let Some(logged) = logged
            && ledger.is_release(round, &logged)?
        {
            return Ok(());
        }
        Err(Error::damaged(
            ledger.path(),
            format!(
                "entry {index} is not the release that this ledger noted there: the log was restored from an older \
                 copy; restore the newest copy of the whole folder"
            ),
        ))
    }

    /// The releases in the log from this entry on: where, and the data encoded.
    fn rounds_since(&self, first: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut rounds = Vec::new();
        for (entry, index) in self.reader().entries(first..self.size()).zip(first..) {
            if let Some(data) = round_data(&self.decode(index, &entry?)?)? {
                rounds.push((index, data));
            }
        }
        Ok(rounds)
    }

    /// Logs an answer that is kept in the ledger, and notes that it is in the log. Returns where.
    fn log_answer(&mut self, answer: &[u8]) -> Result<u64> {
        let data = cbor::decode(answer).map_err(EventError::from)?;
        let mut transaction = self.begin()?;
        transaction.privacy_round(data)?;
        let index = transaction.commit()?.first_index;
        match &mut self.privacy {
            Some(privacy) => {
                let round = privacy.ledger.rounds().len().saturating_sub(1);
                privacy.ledger.release(round, index).map(|()| index)
            }
            None => Err(round::no_settings()),
        }
    }
}

/// The data of an event that releases a round, encoded.
fn round_data(event: &Event) -> Result<Option<Vec<u8>>> {
    if event.kind != EventType::PrivacyRound {
        return Ok(None);
    }
    Ok(Some(cbor::encode(&event.data).map_err(EventError::from)?))
}
