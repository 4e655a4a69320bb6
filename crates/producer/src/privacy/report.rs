//! What was spent of the privacy budget, for people to read.

use std::ops::Range;
use std::path::Path;

use privacy::accountant::{Delta, Rho};

use super::ledger::{Ledger, Record};
use super::settings::PrivacySettings;
use crate::audit::read_description;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::folder::Folder;

/// Groups of fewer annotators are not counted apart.
pub const MIN_GROUP: u64 = 5;

/// What was spent, by the ledger. An auditor has no ledger: what follows from the log alone is `everyone`.
#[derive(Clone, Debug)]
pub struct PrivacyReport {
    /// What was promised.
    pub settings: PrivacySettings,
    /// The budget of each annotator.
    pub budget: Cost,
    /// The rounds charged, in order.
    pub rounds: Vec<RoundCost>,
    /// How many annotators were charged anything.
    pub annotators: u64,
    /// What the one who was charged most was charged.
    pub most: Cost,
    /// What someone would have been charged who took part in every round that was released.
    pub everyone: Cost,
    /// What is left to the one who was charged most, in zCDP.
    pub remaining_rho: f64,
    /// The cost of one value, where they are released one by one, in zCDP.
    pub item_rho: Option<f64>,
    /// How many more rounds everybody can take part in, or give all the values that a batch may have.
    pub remaining_rounds: u64,
    /// How many annotators were charged up to a quarter of the budget, up to a half, up to three quarters, and more;
    /// none where there are some, but fewer than [`MIN_GROUP`].
    pub distribution: [Option<u64>; 4],
}

/// A cost, in zCDP and as the ε that it certifies at the log's δ.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// In zCDP.
    pub rho: f64,
    /// As ε.
    pub epsilon: f64,
}

/// What a round cost.
#[derive(Clone, Debug)]
pub struct RoundCost {
    /// Its name.
    pub id: String,
    /// The entry that released it; none where it was charged and not released.
    pub index: Option<u64>,
    /// The entries whose ratings it is about.
    pub entries: Range<u64>,
    /// How many annotators were charged.
    pub annotators: u64,
    /// Whether it is a batch whose values are released one by one.
    pub of_items: bool,
    /// What each was charged, of a batch the one with the most values.
    pub cost: Cost,
}

impl PrivacyReport {
    /// Reads what the ledger of a log says; nothing where the log promises nothing. No key is needed and another
    /// process may be writing.
    ///
    /// # Errors
    /// There is no log, or its files cannot be read.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let folder = Folder::new(dir);
        let description = read_description(&folder)?;
        let Some(settings) = description.privacy else { return Ok(None) };
        let ledger = Ledger::open(&Disk::default(), &folder.privacy_ledger(), &description.origin)?;
        Self::of(settings, &ledger).map(Some)
    }

    /// What is left of ε to the one who was charged most. It is a figure to read: costs add up in zCDP, not in ε.
    pub fn remaining(&self) -> f64 {
        (self.settings.epsilon - self.most.epsilon).max(0.0)
    }

    fn of(settings: PrivacySettings, ledger: &Ledger) -> Result<Self> {
        let plan = settings.plan()?;
        let delta =
            Delta::new(settings.delta).map_err(|e| Error::PrivacySettings(e.to_string()))?;
        let cost = |rho: f64| {
            let epsilon = Rho::new(rho).map_or(f64::INFINITY, |rho| rho.epsilon(delta));
            Cost { rho, epsilon }
        };
        let round = |round: &Record| RoundCost {
            id: round.id.clone(),
            index: round.index,
            entries: round.entries.clone(),
            annotators: round.people,
            of_items: round.of_items,
            cost: cost(round.most),
        };
        let released = ledger.rounds().iter().filter(|round| round.index.is_some());
        let (budget, charge) = (plan.budget.get(), plan.charge.get());
        let most = ledger.spent().fold(0.0, f64::max);
        let remaining = (budget - most).max(0.0);
        Ok(Self {
            // What was promised, not what its zCDP comes to.
            budget: Cost { rho: budget, epsilon: settings.epsilon },
            rounds: ledger.rounds().iter().map(round).collect(),
            annotators: ledger.spent().count() as u64,
            most: cost(most),
            everyone: cost(released.fold(0.0, |sum, round| (sum + round.most).next_up())),
            remaining_rho: remaining,
            item_rho: plan.items.map(|items| items.cost),
            remaining_rounds: (remaining / charge) as u64,
            distribution: distribution(ledger, budget),
            settings,
        })
    }
}

fn distribution(ledger: &Ledger, budget: f64) -> [Option<u64>; 4] {
    let mut counts = [0_u64; 4];
    for spent in ledger.spent() {
        counts[((spent / budget * 4.0).ceil() as usize).clamp(1, 4) - 1] += 1;
    }
    counts.map(|count| (count == 0 || count >= MIN_GROUP).then_some(count))
}
