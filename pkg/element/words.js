// Every sentence the verifier says of its own accord, in one place, so that they can be
// reviewed without reading code. Sentences about one file (the verdict, the reasons, what is
// established) come from the verification itself and are shown as they are.

/** @import { ClaimKind, ClaimStatus, Verdict } from "../index.js" */

export const CANNOT_KNOW =
  "We cannot know whose key this is; compare it by another channel.";

/** What each verdict means. @type {Record<Verdict, string>} */
export const VERDICT_MEANING = {
  "failed":
    "A signature, a proof or a number in this file is wrong, or your policy requires something that the file lacks, or a model that you brought is not in the log, or a file that you were given before does not go with this one. The failed checks say which. What else the file says cannot be relied on, even where other checks passed.",
  "self-consistent":
    "The parts of this file fit together, but no key that you chose has signed it. Anyone can make such a file. To learn who signed it, add the producer’s key, which you got from somewhere other than this file.",
  "signed":
    "A key that you chose signed this record, and nothing in it was changed since that signature. When it was signed is only the producer’s word: nothing from outside shows a date, so the record could have been written, or written anew, at any time.",
  "public":
    "A key that you chose signed this record, nothing in it was changed since that signature, and a party other than the producer shows that it was public by the date in the verdict.",
};

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

/** @type {Record<"pass" | "fail" | "absent", string>} */
export const RESULT_WORD = { pass: "Passed", fail: "Failed", absent: "Absent" };

/** Above the numbers the log has, when the verdict is failed. */
export const NOT_TO_RELY_ON = "The verdict is “Failed”: do not rely on these numbers.";

/** Above what is established, when the verdict is failed. */
export const EVEN_SO = "These checks passed, but others failed: do not rely on this file.";

// Explanations, each behind one click.

export const ABOUT_CHECKS =
  "Each check is a small, exact test that this page has just run on the bytes of the file. “Passed” means the test came out as it must. “Failed” means it did not. “Absent” means the file holds nothing to run it on: that is no fault by itself, but nothing follows from it either. “Stands on” shows the bytes, so that another program can repeat the test.";

export const ABOUT_CARD =
  "The model card is what the producer says about the model and its training. Every line says how far it can be checked: recomputed from the log, committed to the log, or only asserted. The evidence buttons show the log entries behind a line.";

export const ABOUT_LOG =
  "The producer writes each event into a list that can only grow. A head is a short, signed summary of the whole list at one size: its root changes if any entry is changed, removed or moved. Between two heads, a consistency proof shows that the earlier list is the beginning of the later one.";

export const ABOUT_MODEL_CHECK =
  "The log holds, for each update of the model and each checkpoint, one short number computed from all weights: the weight root. This page computes the same number from the files that you bring. If it is in the log, these are exactly the weights that the producer logged there, to the last bit, however the files are split or named. It says nothing about how the weights came about.";

/** What became of a model that the person brought. @type {Record<"pass" | "earlier" | "fail" | "absent", { title: string, meaning: string }>} */
export const MODEL_OUTCOME = {
  pass: {
    title: "This model is in the log",
    meaning: "The verdict above holds for this model as well. That training made these weights as logged is not shown.",
  },
  earlier: {
    title: "This model is in the log, but is not the final one",
    meaning: "It is an earlier state of the model: other weights were logged after it. Do not take it for the model that came out of this training. The verdict above is on the evidence.",
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

export const ABOUT_OPENINGS =
  "Private content, such as a rating, is in the log only as a sealed commitment. An opening reveals the content of one field, and the check shows that it is what was sealed. The producer chooses what to open.";

export const ABOUT_KEYS =
  "A signature shows that the holder of a key signed, not who holds the key. Whoever made this file could have made a key for it too. So keys count only if you bring them, from the producer’s letter, a contract, a register or another person. The fingerprint is a short form of the key: compare it, group by group, with what you were given.";

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
