//! In words what is established and what is not.

use super::anchors::Anchors;
use super::claims::{CheckedCard, claim_counts};
use super::heads::Heads;
use super::history;
use super::replay::Replay;
use super::{Parts, count, gaps, some_of};
use crate::card::PRIVACY_SCOPE;
use crate::event::EventType;
use crate::policy::TrustPolicy;
use crate::report::{Check, ClaimStatus, HistoryReport, OpeningReport, Outcome};
use crate::time::to_rfc3339;

/// What the sentences of a report are made from.
pub struct Sentences<'a> {
    pub parts: &'a Parts<'a>,
    pub policy: Option<&'a TrustPolicy>,
    pub heads: &'a Heads,
    pub replay: &'a Replay,
    pub anchors: &'a Anchors,
    pub card: Option<&'a CheckedCard>,
    pub history: Option<&'a HistoryReport>,
    pub openings: &'a [OpeningReport],
    pub checks: &'a [Check],
}

impl Sentences<'_> {
    fn passed(&self, name: &str) -> bool {
        self.checks.iter().any(|check| check.name == name && check.result == Outcome::Pass)
    }

    fn reason(&self, name: &str) -> &str {
        self.checks.iter().find(|check| check.name == name).map_or("", |check| &check.reason)
    }

    /// How many values were opened that are what was committed to.
    fn opened(&self) -> u64 {
        let held = |opening: &&OpeningReport| opening.result == Outcome::Pass;
        self.openings.iter().filter(held).count() as u64
    }

    /// How many erasures the entries here show.
    fn erasures(&self) -> u64 {
        let types = self.replay.builder.types();
        types.get(EventType::Erasure.as_str()).copied().unwrap_or_default()
    }

    /// Whose word it is, as far as this verification knows.
    fn signer(&self) -> &'static str {
        if self.heads.chosen_signers.is_empty() {
            "Whoever made this log"
        } else {
            "The holder of the key you chose"
        }
    }

    pub fn established(&self) -> Vec<String> {
        let mut list = Vec::new();
        let size = self.heads.newest().map_or(0, |head| head.size);
        if self.passed("policy.signer") {
            let chosen = &self.heads.chosen_signers;
            if self.heads.chain.is_followed(chosen) {
                list.push(
                    "Every tree head here was signed with the key you chose or with one that leads back to it."
                        .to_owned(),
                );
            } else {
                list.push("Every tree head here was signed with the key you chose.".to_owned());
            }
            chosen.iter().take(1).for_each(|key| self.heads.chain.established(key, &mut list));
        }
        if self.passed("policy.hybrid") {
            list.push(
                "Every tree head here carries an ML-DSA-44 signature by a key you chose as well, which is \
                 made to hold against quantum computers."
                    .to_owned(),
            );
        }
        if self.passed("entries.complete") {
            list.push(format!(
                "All {} that the newest tree head commits to are here, in this order, unchanged.",
                count(size, "entry", "entries")
            ));
        }
        if self.passed("entries.inclusion") {
            list.push(format!(
                "{} of {size} entries are here, each shown to be among those that the newest tree head commits to.",
                self.replay.present
            ));
        }
        if self.passed("heads.consistency") && self.passed("heads.signature") {
            list.push("No gap or conflict among the heads in this file.".to_owned());
        }
        if self.replay.proven && self.passed("events.sequence") {
            list.push(
                "Within every run, no event number is missing up to its last event here; that everything was recorded, numbers do not show."
                    .to_owned(),
            );
        }
        if self.passed("card.logged") {
            list.push(format!("{} fixed this very model card in the log.", self.signer()));
        }
        let redone = claim_counts(self.card).recomputed;
        if self.passed("card.claims") && redone > 0 {
            list.push(format!(
                "{} of the card: this arithmetic was redone on values the producer logged; it does not show those values are true.",
                count(redone, "recomputed claim", "recomputed claims"),
            ));
        }
        match (self.opened(), self.openings.len() as u64) {
            (0, _) => {}
            (opened, all) if opened == all => list.push(format!(
                "{} opened: shown to be what was sealed in the log.",
                count(all, "private field", "private fields")
            )),
            (opened, all) => list.push(format!(
                "{opened} of the {all} values opened here: shown to be what was sealed in the log."
            )),
        }
        if self.passed("policy.witnesses") {
            list.push("Enough of the witnesses you chose saw the newest tree head.".to_owned());
        }
        let erasures = self.erasures();
        if self.replay.proven && erasures > 0 {
            list.push(format!(
                "{} in these entries: {} says that it destroyed what opened somebody's private fields. The entries \
                 stay, and so does every proof and opening given before.",
                count(erasures, "erasure is logged", "erasures are logged"),
                self.signer().replacen("The", "the", 1).replacen("Whoever", "whoever", 1),
            ));
        }
        self.publication(&mut list);
        if self.passed("weights") {
            list.push(format!("The weights you hold are in the log: {}.", self.reason("weights")));
        }
        list.extend(self.history.and_then(history::established));
        list
    }

    pub fn not_established(&self) -> Vec<String> {
        let mut list =
            vec![self.when(), "Other or later heads and runs are not excluded.".to_owned()];
        if self.heads.chosen_signers.is_empty() {
            let who = match self.policy {
                None => {
                    "Who signed this: you have chosen no key, and a key that comes with the log proves nothing about its owner."
                }
                Some(_) => "Who signed this: none of the keys you chose signed every tree head.",
            };
            list.insert(0, who.to_owned());
        }
        if !self.passed("policy.witnesses") {
            list.push("That others saw the same log: no quorum of witnesses is shown.".to_owned());
        }
        if self.passed("policy.hybrid") {
            list.push(
                "That a date would hold against quantum computers: public anchors and their time stamps are \
                 signed with classical algorithms only."
                    .to_owned(),
            );
        }
        if !self.replay.complete {
            list.push(
                "Counts, averages and “none”: not all entries of the log are shown to be here."
                    .to_owned(),
            );
        }
        self.about_the_card(&mut list);
        self.about_private_fields(&mut list);
        if self.is_absent("weights") {
            list.push("That the weights you hold are in the log.".to_owned());
        }
        list.extend(self.history.and_then(history::not_established));
        list.extend(gaps::not_established(&self.replay.gaps));
        if self.is_absent("events.time") {
            list.push(
                "The order of events in time: the producer's clock runs backwards in places."
                    .to_owned(),
            );
        }
        let n = self.replay.builder.unknown_types().map(|(_, n)| n).sum();
        if n > 0 {
            list.push(format!(
                "What {} of types unknown to this version mean.",
                count(n, "event", "events")
            ));
        }
        list
    }

    /// What is public, since when and by whose clock.
    fn publication(&self, list: &mut Vec<String>) {
        if !self.passed("anchors") || !self.passed("anchors.sequence") {
            return;
        }
        let size = self.heads.newest().map_or(0, |head| head.size);
        if let Some(public) = &self.anchors.public {
            let since = to_rfc3339(public.since);
            list.push(match size.saturating_sub(public.size) {
                0 => format!("Public since {since}, by {}.", public.by),
                later => format!(
                    "Public since {since}, by {}; the {} only to note publications.",
                    public.by,
                    count(later, "entry after it is there", "entries after it are there"),
                ),
            });
        } else if let Some(anchor) =
            self.anchors.list.iter().rfind(|anchor| anchor.public.is_some())
        {
            list.push(format!(
                "The first {} are public since {}, by {}.",
                count(anchor.size, "entry", "entries"),
                anchor.public.as_deref().unwrap_or_default(),
                anchor.public_by.as_deref().unwrap_or_default(),
            ));
        }
        list.push("No gap or conflict among the published heads in this file.".to_owned());
    }

    fn when(&self) -> String {
        let anchors = self.anchors;
        if anchors.public.is_some() {
            return match anchors.publication.as_deref() {
                Some(text) if text.contains("afterwards") => {
                    format!("When things happened before they were public: {text}.")
                }
                _ => "When things happened, to the minute: between two publications, event times are the \
                      producer's word."
                    .to_owned(),
            };
        }
        let because = if !self.parts.anchors.is_empty() && !self.passed("anchors") {
            "the anchors that are here are not verified"
        } else if !self.anchors.list.is_empty() {
            "the newest tree head is not shown to be public"
        } else if self.passed("policy.witnesses") {
            "there is no public anchor here, only the witnesses' own clocks"
        } else {
            "there is no independent date here"
        };
        // Where nobody known signed, nothing here is shown to be the producer's.
        let whose =
            if self.heads.chosen_signers.is_empty() { "its maker's" } else { "the producer's" };
        format!("When: {because}; event times are {whose} word.")
    }

    fn is_absent(&self, name: &str) -> bool {
        self.checks.iter().any(|check| check.name == name && check.result == Outcome::Absent)
    }

    fn about_the_card(&self, list: &mut Vec<String>) {
        let Some(card) = self.card else {
            if self.parts.card.is_none() {
                list.push("Any claim about the model: there is no model card here.".to_owned());
            }
            return;
        };
        if self.is_absent("card.head") {
            let size = card.report.as_of.size;
            list.push(format!(
                "That the head of {size} entries, which the card speaks of, was signed."
            ));
        }
        let open =
            card.report.claims.iter().filter(|c| c.status == ClaimStatus::NotEstablished).count();
        if open > 0 {
            list.push(format!(
                "{} of the card, marked “not established” below.",
                count(open as u64, "claim", "claims")
            ));
        }
        if !card.left_out.is_empty() {
            list.push(format!(
                "The card leaves out what the log gives: {}.",
                some_of(&card.left_out)
            ));
        }
        let later =
            self.heads.newest().map_or(0, |head| head.size).saturating_sub(card.report.as_of.size);
        // One later entry is the card's own event.
        if later > 1 {
            list.push(format!(
                "{} came after the head the card speaks of, and the card does not cover them.",
                count(later - 1, "further entry", "further entries")
            ));
        }
    }

    fn about_private_fields(&self, list: &mut Vec<String>) {
        let committed = self.replay.builder.commitments();
        let (opened, all) = (self.opened(), self.openings.len() as u64);
        if opened < all {
            list.push(format!(
                "{} of the {all} values opened here: not shown to be what was sealed in the log.",
                all - opened
            ));
        }
        if committed > opened {
            list.push(format!(
                "What {} say: prompts, responses, votes and ratings are committed to and not shown ({opened} of {committed} opened).",
                count(committed - opened, "private field", "private fields"),
            ));
        }
        let types = self.replay.builder.types();
        let has = |kind: EventType| types.contains_key(kind.as_str());
        if self.erasures() > 0 {
            list.push(
                "Whose private fields were erased, and that no copy of them is left: the log names nobody, and \
                 backups and openings given away before are not in it."
                    .to_owned(),
            );
        }
        // Norms, losses and weights follow from the ratings and can give them away.
        if has(EventType::PolicyUpdate) || has(EventType::Checkpoint) || has(EventType::Metric) {
            list.push(if has(EventType::PrivacyRound) && self.replay.builder.says_released_only() {
                "That updates learned from released values only, as they say: else this log's training statistics and \
                 the model can give ratings away."
                    .to_owned()
            } else if has(EventType::PrivacyRound) {
                PRIVACY_SCOPE.to_owned()
            } else {
                "That hidden votes and ratings stay hidden: no privacy mechanism for them is logged, and this log's \
                 training statistics and the model can give them away."
                    .to_owned()
            });
        }
    }
}
