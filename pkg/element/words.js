// Every sentence the verifier says of its own accord, in one place, so that they can be
// reviewed without reading code. Sentences about one file (the verdict, the reasons, what is
// established) come from the verification itself and are shown as they are.

/** @import { ClaimKind, ClaimStatus, Verdict } from "../index.js" */

export const CANNOT_KNOW =
  "We cannot know whose key this is; compare it by another channel.";

/** What each kind of claim means. @type {Record<ClaimKind, string>} */
export const KIND_MEANING = {
  recomputed:
    "Recomputed means: this arithmetic was redone on values the producer logged; it does not show those values are true.",
  committed:
    "Committed means: its digest is in the log. It cannot be exchanged without changing the log; it does not show that the content is true.",
  asserted:
    "Asserted means: somebody said so and signed. Nothing here checks it.",
};

/** @type {Record<ClaimStatus, string>} */
export const STATUS_WORD = {
  established: "Established",
  not_established: "Not established here",
  failed: "Failed",
  stated: "Stated, not checked",
};

/** What is established by a claim of each kind: never that what it says is true. @type {Record<ClaimKind, string>} */
export const ESTABLISHED_WORD = {
  recomputed: "Follows from the log",
  committed: "Fixed in the log",
  asserted: "Stated, not checked",
};

/** @type {Record<"pass" | "fail" | "absent", string>} */
/** To “Is your model the last one in this record?”. @type {Record<"pass" | "earlier" | "fail" | "absent", { answer: string, caution: string | null }>} */
export const MODEL_ANSWER = {
  pass: { answer: "Yes, weight for weight.", caution: "That nothing was trained after them, or that they are the weights in use, is not shown." },
  earlier: {
    answer: "No, an earlier one.",
    caution: "Other weights were logged after it. The verdict is on the record and does not speak for this model.",
  },
  fail: {
    answer: "No, it is not in this record.",
    caution: "The verdict is “Failed” because of this model; the record is judged without it once you remove it.",
  },
  absent: { answer: "Not known.", caution: null },
};

export const RESULT_WORD = { pass: "Passed", fail: "Failed", absent: "Absent" };

// Answers to what a person asks of every file; see answers-view.js.

/** @typedef {Verdict | "beside" | "gap" | "lacking" | "other-keys" | "other-model"} Situation */

/** What is proven; `{date}` stands for the date since when it is public. @type {Record<Situation, string>} */
export const PROVEN = {
  "failed":
    "Nothing that you should rely on: the failed checks above contradict this file.",
  "beside":
    "Of what failed, nothing. Of the log inside this file, what is listed below as established: that holds. The file as a whole does not: a part of it does not belong to that log.",
  "lacking":
    "What is listed below as established. But what your policy requires is not all here.",
  "other-model":
    "That the model you brought is not among those in the log. It may be a copy with one bit changed, another format of it, or another model altogether. No check of the evidence itself failed: what it establishes is listed below.",
  "self-consistent":
    "Only that the parts of this file fit together. Whoever made it could have made all of it up.",
  "other-keys":
    "Only that the parts of this file fit together: none of the keys you chose signed it.",
  "signed":
    "That the holder of this key signed exactly this record, and that nothing in it was changed after it was signed. When that was is not shown. Each number marked “recomputed” follows from what is in it. Whether what is in it is true is another question.",
  "gap":
    "That the holder of this key signed exactly this record, and that nothing in it was changed after it was signed. When that was is not shown. Each number marked “recomputed” follows from what is in it. Whether what is in it is true is another question.",
  "public":
    "That the holder of this key signed exactly this record, that its signed summary was public by {date}, if that clock is not the producer’s, and that nothing in the record was changed after that. Each number marked “recomputed” follows from what is in it. Whether what is in it is true is another question.",
};

/** After when the producer could record nothing, as it says. */
export const ABOUT_GAPS =
  "Only the producer says so. What happened then is not in this record, and that there was no other such time is not shown.";

/** What to do next. @type {Record<Situation | "earlier-model", string>} */
export const NEXT_STEP = {
  "failed":
    "Do not use this file, and keep it. Ask the producer for the file again, by another channel, and whether its key has changed. If that one fails as well, ask what explains the failed checks.",
  "beside":
    "Keep this file, and do not use what failed. Ask the producer for the file again, by another channel, and quote from that one. If it fails as well, ask what explains the failed checks.",
  "lacking":
    "Ask the producer for a file that shows what your policy requires, or why there is none.",
  "other-model":
    "Ask the producer which model files belong to this log, and check those.",
  "earlier-model":
    "Ask the producer which weights are in use, and for the files of the last ones in this log, and check those. Compare the fingerprint with the one the producer gave you, if you have not yet.",
  "self-consistent":
    "Get the producer’s key from somewhere other than this file: a letter, a contract, a register, a person you know. Then add it here.",
  "other-keys":
    "Compare the fingerprint above with the one the producer gave you. Ask the producer which key signs this log.",
  "signed":
    "Compare the fingerprint with the one the producer gave you, if you have not yet. Keep this file: every later file of the same log must continue it. What matters to you and is only claimed, check with the producer.",
  "gap":
    "Ask the producer what happened during the gap, and what shows it. Compare the fingerprint with the one the producer gave you, if you have not yet. Keep this file: every later file of the same log must continue it.",
  "public":
    "Compare the fingerprint with the one the producer gave you, if you have not yet. Find out who runs the public log and the clock named above. Keep this file: every later file of the same log must continue it. What matters to you and is only claimed, check with the producer.",
};

export const NOBODY = "Nobody, as far as this file shows: no key signed all of its tree heads.";

/** What the key that signed has to do with what failed. @type {Record<string, string | undefined>} */
export const SIGNED_AND_FAILED = {
  "heads.signature":
    "It signed every tree head here. What failed is another signature in the file, or another key that the file names as its own.",
  "heads.consistency":
    "It signed each of these tree heads. That they are of one history is what is not shown.",
  "entries.complete":
    "It signed the tree heads. It did not sign these entries: they are not the ones that the heads stand for.",
  "entries.inclusion":
    "It signed the tree heads. It did not sign these entries: they are not shown to be among those that the heads stand for.",
  "events.form": "It signed the entries as they are: what is wrong with them was signed.",
  "events.sequence": "It signed the entries as they are: what is wrong with their numbers was signed.",
  "updates": "It signed the entries as they are: what is wrong with the updates was signed.",
  "card.form": "It signed the log. It did not sign this model card.",
  "card.logged": "It signed the log. It did not sign this model card, which is not one that the log holds.",
  "card.head": "It signed the log, but not in the state that this model card speaks of.",
  "card.claims": "It signed the log. What the model card claims is not what that log holds.",
  "openings": "It signed the log. It did not sign the values that failed: the log holds seals of other values.",
  "anchors": "It signed the log. What failed is what shows that the log was published, which another key signs.",
  "anchors.sequence": "It signed the log. What failed is what shows that the log was published, which another key signs.",
};

/** Before the fingerprint of a key that was chosen for the log's name, and signed some heads or none. */
export const CHOSEN_SIGNED_NONE = "The key you chose for this name signed none of the tree heads here. The fingerprint of the key you chose: ";
export const CHOSEN_DID_NOT = "The key you chose for this name did not sign every tree head here. The fingerprint of the key you chose: ";

export const HOW_TO_COMPARE =
  "To compare, hold each group against the fingerprint that the producer gave you in another way, such as a call if the key came by letter. One different digit means another key.";

export const NOTHING_ASSERTED = "Nothing: no claim in the model card is merely asserted.";

export const NO_DATE =
  "Not shown: no date in this file that could be checked comes from anybody but its maker, who could have written it, or written it anew, on any day.";

/** Before the dates of publications, when the verdict is failed. */
export const NO_DATE_OF_FAILED = "The verdict is “Failed”: do not rely on any date of publication in it.";

export const ABOUT_ANCHORS =
  "A head is a short, signed summary of the whole log. To publish one, the producer signs a statement about it with a publishing key and enters it in a public log that others run. From then on the producer can show no other log of that size without being found out. “Public since” is what an independent clock says that stamped the public log’s own signed summary, its checkpoint; “seen signed” is what such a clock says of the signature. Publication says nothing about whether what was logged is true.";

export const OTHER_PUBLICATIONS =
  "Whether the producer published anything else under the same key, this file cannot show. To see it, search the public log: the index and the key’s fingerprint are where to begin.";

/** After a date of publication. */
export const OTHERS_CLOCK =
  "What is public is a signed summary of the record, which no other record fits, not its content. The log and the clock count because the trusted root that you chose names them. Who runs them, this page cannot know: if it is the producer, the date is the producer’s word.";

export const OWN_CLOCK = "The maker’s own clock, which nothing confirms, says:";

export const CAN_ASSERT = "Claimed, and not checked by anything here:";

export const NO_CARD = "This file holds no model card, so it claims nothing about a model in words.";

// Only where the person's policy asks for more than a key.
export const REQUIRED_AND_THERE = "What your policy requires besides the key is there.";

export const REQUIRED_AND_LACKING = "Your policy requires something besides the key that this file does not show: see what failed above.";

export const NONE_OF_THE_CHOSEN = "None of the keys you chose signed every tree head here.";

/** What each check tests, by its name, without the words of cryptography. @type {Record<string, string | undefined>} */
export const CHECK_MEANING = {
  "heads.form":
    "A tree head is a short summary of the whole log at one moment, which the producer signs. This checks that the summaries can be read, that all are of the same log, and that none is shorter than the one before.",
  "heads.signature":
    "Every summary must carry a valid signature of the key that this file names as its own. If this fails, a summary was altered after it was signed, or another key signed it.",
  "heads.consistency":
    "The log may only grow. For each two summaries there must be a proof that the earlier log is the unchanged beginning of the later one. If this fails, history was rewritten between them.",
  "entries.complete":
    "The entries in this file are summarised again and compared with the signed summary. One changed, missing, added or moved entry gives another result. If this fails, the entries are not those that were signed; which of them was changed cannot be told.",
  "entries.inclusion":
    "Only some entries are in this file. Each must come with a proof that it is one of those that the signed summary stands for.",
  "events.form": "Every entry must be a record of a known form, written in the one way that is allowed.",
  "events.sequence":
    "The records of a training run are numbered 0, 1, 2 and so on. If a number is missing or there twice, a record was left out or put in.",
  "events.gaps":
    "Where recording failed and training went on, the producer can say so in the log, with the time from when to when. It is “Absent” because nothing shows what happened then. That the producer says so of every such time, this cannot show.",
  "events.released":
    "Where the log says what was told of ratings with noise added, each telling must be in the log with what it cost of the protection that was promised. If this fails, more was told than was accounted for.",
  "updates":
    "Each update of the model says from which human judgements it learned. They must be in the log, and before the update.",
  "events.time":
    "The times are those of the producer’s clock, some of them to the minute only. This checks that they do not run backwards by a minute or more, not that they are true.",
  "card.form": "The model card must be readable, and written in the one way that is allowed.",
  "card.logged":
    "The log must hold a digest, a kind of fingerprint, of this very card. If this fails, the card was exchanged or belongs to another log.",
  "card.head":
    "The card says which state of the log it describes. That state must be one that was signed.",
  "card.claims":
    "Every claim of the card is worked out again from the log and compared. If this fails, the card says something that the log does not.",
  "openings":
    "Private values, such as ratings, are sealed when they are logged. A value that this file shows must be exactly what was sealed. If this fails, the value shown is not the one that was logged. The table “Openings” under “The log”, the last part of the page, marks which.",
  "weights":
    "One number of 64 digits is computed from all weights in the files of the model that you brought. It must be among those in the log.",
  "weights.sketch":
    "Besides that number, a rough drawing of all weights is in the log. It is made again from the files of the model that you brought, and must be the same.",
  "sketches":
    "A sketch is a rough drawing of all weights, by which it can be told how far they moved. The same weights must not have two. That it was made from these weights, only the model’s files can show.",
  "keys":
    "Over the years a log changes its key. Each change is in the log, and the old key has signed the first summary that the new key signs. So the key you chose leads to the one that signs now. A key that may have been stolen leads on only if that was public before.",
  "policy.signer":
    "The file must be signed by the key that you brought. If this fails, it names itself as the log whose key you have, and yet another key signed it: somebody may be passing off another record as this producer’s, or the producer has changed its key.",
  "policy.witnesses":
    "Witnesses are other parties who saw the log grow and signed that they did. How many you require is in your policy.",
  "history":
    "You brought what you were given of this log before. The smaller of the two must be the unchanged beginning of the larger. If this fails, they contradict each other, or are not of the same log.",
  "anchors":
    "The producer can enter a signed summary in a public log, which others run and watch. Each such entry must be signed with the publishing key that you brought, be shown to stand in a public log that you accept, and be about a summary in this file. If this fails, one of them was changed, or belongs to somebody else.",
  "anchors.sequence":
    "The published summaries are numbered 0, 1, 2 and so on, and each names the one before it. If this fails, one was left out or exchanged: perhaps one that the producer would rather not show. That later ones were left out cannot be seen here.",
  "anchors.time":
    "A time-stamping authority that your trusted root names must have seen the entry in the public log. Without such a time, nothing shows since when this record exists. That the authority is independent of the producer is for you to find out.",
  "policy.complete": "Your policy asks for every entry of the log, not a selection.",
  "policy.hybrid": "Your policy asks for a second signature that holds against quantum computers as well.",
  "policy.max_age_days": "Your policy asks for a recent date that somebody other than the producer shows.",
};

/** Above the numbers the log has, when the verdict is failed. */
export const NOT_TO_RELY_ON = "The verdict is “Failed”: do not rely on these numbers.";

/** Above what is established, when the verdict is failed. */
export const EVEN_SO = "These checks passed, but others failed: do not rely on this file.";

/** Instead of “Established”, where nothing should be relied on. */
export const PASSED_ALL_THE_SAME = "What passed all the same";

/** The same where the log itself holds. */
export const STILL_HOLDS = "This still holds of the log. The verdict is “Failed” because of what is marked “Failed” beside it.";

// Explanations, each behind one click.

export const ABOUT_CHECKS =
  "Each check is a small, exact test that this page has just run on the bytes of the file. “Passed” means the test came out as it must. “Failed” means it did not. “Absent” means the file holds nothing to run it on: that is no fault by itself, but nothing follows from it either. “Stands on” shows the bytes, so that another program can repeat the test.";

export const ABOUT_CARD =
  "The model card is what the producer says about the model and its training. Every line says how far it can be checked: recomputed from the log, committed to the log, or only asserted. The evidence buttons show the log entries behind a line.";

export const ABOUT_PROVISIONS =
  "A provision named under a line is one that the line helps to answer. It does not say that the provision is met, nor that it applies.";

export const ABOUT_LOG =
  "The producer writes each event into a list that can only grow. A head is a short, signed summary of the whole list at one size: its root changes if any entry is changed, removed or moved. Between two heads, a consistency proof shows that the earlier list is the beginning of the later one. A witness is somebody else who saw the log grow, and signed its heads as well.";

export const ABOUT_MODEL_CHECK =
  "The log holds, for each update of the model and each checkpoint, one number of 64 digits computed from all weights: the weight root. This page computes the same number from the files that you bring. If it is in the log, these are exactly the weights that the producer logged there, to the last bit, however the files are split or named. It says nothing about how the weights came about.";

/** What became of a model that the person brought. @type {Record<"pass" | "earlier" | "fail" | "absent", { title: string, meaning: string }>} */
export const MODEL_OUTCOME = {
  pass: {
    title: "This model is in the log",
    meaning: "These are the last weights in this log. That training made them as logged, or that nothing was trained after them, is not shown.",
  },
  earlier: {
    title: "This model is in the log, but is not the last one there",
    meaning: "It is an earlier state of the model: other weights were logged after it. Do not take it for the model at the end of this log. The verdict above is on the evidence. That training made these weights as logged is not shown.",
  },
  fail: {
    title: "This model is not in the log",
    meaning: "As long as this model is here, the verdict is “Failed”; remove it to see the verdict on the evidence alone.",
  },
  absent: {
    title: "Whether this model is in the log is not known",
    meaning: "The file does not show every weight root in the log, so nothing follows for this model.",
  },
};

export const MODEL_FAULT = "This is a fault of the verifier or of this browser, and says nothing about the model.";

export const ABOUT_HISTORY =
  "A log can only grow, so a log that you saw in May must be the beginning of the one you see in November. A producer who rewrites what is already in it must sign a new head that contradicts the old one. If you kept what you were given, this page holds the two against each other. It says nothing of other copies of the log that you never saw.";

/** What became of an earlier file that the person brought. @type {Record<"continued" | "reversed" | "same" | "rewritten" | "apart" | "unknown", { title: string, meaning: string }>} */
export const HISTORY_OUTCOME = {
  continued: {
    title: "This log continues the one you were given before",
    meaning: "Nothing that was in the log then was changed or removed since; entries were only added.",
  },
  reversed: {
    title: "This log is the beginning of the one you compare it with",
    meaning: "The file that you brought is the later of the two. Nothing that is in this log was changed or removed there.",
  },
  same: {
    title: "Both files are of the same log, at the same size",
    meaning: "Nothing was changed, removed or added between the two.",
  },
  rewritten: {
    title: "The history was rewritten",
    meaning: "The two heads below are signed with the same key and cannot both be true. Whoever holds the key changed what was already given away. Keep both files: together they show it to everyone who knows the key. As long as the other file is here, the verdict is “Failed”.",
  },
  apart: {
    title: "The two files do not go together",
    meaning: "As long as the other file is here, the verdict is “Failed”; remove it to see the verdict on the evidence alone.",
  },
  unknown: {
    title: "Whether this log continues the earlier one is not known",
    meaning: "Nothing follows from the comparison, neither good nor bad.",
  },
};

export const HISTORY_FAULT = "This is a fault of the verifier or of this browser, and says nothing about the file.";

export const ABOUT_WEIGHTS =
  "An update changes the model’s weights after it learned from a set of human judgements; a checkpoint gives a state of the model a name. Drift is how far an update moved the weights: the square root of the sum of all squared changes, by the producer’s norms. The other numbers are the producer’s measurements too. All are in the log, and nothing here measured them again.";

export const FROM_SKETCH = "from the producer’s sketch";

export const FROM_WEIGHTS = "computed again from the weights you hold";

export const ABOUT_SKETCHES =
  "A sketch is 4,096 sums over all weights. The difference of two sketches gives an estimate, mostly within 3 %, of how far the weights moved. The sketches are the producer’s, who could craft weights or sketches that hide a change; bring both models below, one after the other, and this page computes their sketches again. The first line is where the log begins to tell of the weights; of many states the first and the newest are shown.";

export const ABOUT_OPENINGS =
  "Private content, such as a rating, is in the log only as a sealed commitment. An opening reveals the content of one field, and the check shows that it is what was sealed. The producer chooses what to open.";

export const ABOUT_KEYS =
  "A signature shows that the holder of a key signed, not who holds the key. Whoever made this file could have made a key for it too. So keys count only if you bring them, from the producer’s letter, a contract, a register or another person. The fingerprint is a short form of the key: compare it, group by group, with what you were given. It is written everywhere in the same way: 64 digits in 16 groups.";

export const NO_KEYS =
  "No keys chosen. The file can be checked against itself only, which cannot show who made it.";

export const KEPT =
  "Kept in this browser for next time. Other pages from the same place (this website, or files on this computer) could change what is kept: compare the fingerprint when it matters.";

export const NOT_KEPT =
  "This browser does not let this page keep anything: your keys are forgotten when you close the page.";

export const PROPOSED =
  "This page proposes these keys. A page can propose any key, its own too, so they do not count until you say that you know them from somewhere else.";

export const PRINTED =
  "A printout proves nothing by itself: to rely on this verdict, verify the file again with a verifier you trust.";

export const VERIFIER_FAULT =
  "This is a fault of the verifier or of this browser. It is no verdict on the file.";
