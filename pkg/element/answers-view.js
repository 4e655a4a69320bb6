// What a person who opens such a file asks, in their order, with the answers this report gives.

import { details, make } from "./make.js";
import { capital, count, fileText, fingerprint, moment } from "./values.js";
import { ABOUT_GAPS, CAN_ASSERT, CHOSEN_DID_NOT, CHOSEN_SIGNED_NONE, HOW_TO_COMPARE, KIND_MEANING, MODEL_ANSWER, NEXT_STEP, NOBODY, NONE_OF_THE_CHOSEN, NOTHING_ASSERTED, NOT_TO_RELY_ON, NO_CARD, NO_DATE, NO_DATE_OF_FAILED, OTHERS_CLOCK, OWN_CLOCK, PROVEN, REQUIRED_AND_LACKING, REQUIRED_AND_THERE, SIGNED_AND_FAILED } from "./words.js";

/** @import { ClaimKind, ClaimStatus, Report } from "../index.js" */
/** @import { ModelAnswer } from "./model-panel.js" */

/** How many asserted claims are named here; the model card has all. */
const NAMED = 8;

/**
 * @param {Report} report
 * @param {() => void} addKeys
 * @param {ModelAnswer | null} model
 */
export function answersView(report, addKeys, model) {
  const about = situation(report);
  const gap = report.verdict === "failed" ? undefined : gaps(report);
  return make(
    "dl",
    { class: "answers" },
    ...(model === null ? [] : answer("Is your model the last one in this record?", ...ofTheModel(model))),
    ...(report.scope === null ? [] : answer("How far does the failure reach?", make("p", null, report.scope.text))),
    ...answer("Who signed it?", ...signers(report, addKeys)),
    ...answer("Since when does it exist?", ...since(report)),
    ...answer("What is proven?", make("p", null, PROVEN[about].replace("{date}", moment(newestPublic(report)?.public ?? "")))),
    ...(gap === undefined ? [] : answer("Is anything missing?", make("p", null, `Yes: ${gap.reason}. ${ABOUT_GAPS}`))),
    ...answer("What is only claimed?", ...claimed(report)),
    ...(report.card === null ? [] : answer("How far is the model card checked?", ...claimKinds(report, about))),
    ...answer("What can no such file prove?", make("p", { class: "not-proven" }, report.not_proven)),
    ...answer("What can I do next?", make("p", null, NEXT_STEP[model?.outcome === "earlier" ? "earlier-model" : about])),
  );
}

/** @param {ModelAnswer} model */
function ofTheModel({ outcome, reason }) {
  const { answer, caution } = MODEL_ANSWER[outcome];
  return [
    make("p", null, make("strong", null, answer), " ", fileText(`${capital(reason)}.`)),
    caution === null ? null : make("p", { class: "caution" }, caution),
  ];
}

/**
 * The verdict, where these need other answers: a file whose log holds, but not all that stands beside it; one
 * that only lacks what the person requires; one whose record has a gap; one that is not about the model that the person brought; and
 * keys that are of another log.
 *
 * @param {Report} report
 * @returns {keyof typeof PROVEN}
 */
function situation(report) {
  const failed = report.checks.filter(({ result }) => result === "fail");
  if (failed.length > 0 && failed.every(({ name }) => name === "weights")) return "other-model";
  if (report.scope?.log_holds && failed.every(isLacking)) return "lacking";
  if (report.verdict === "failed" && report.scope?.log_holds) return "beside";
  if (report.verdict === "self-consistent" && report.meets_policy !== null) return "other-keys";
  if (report.verdict === "signed" && gaps(report) !== undefined) return "gap";
  return report.verdict;
}

/** The check that tells when nothing could be recorded, if the producer says that of any time. @param {Report} report */
function gaps(report) {
  return report.checks.find(({ name }) => name === "events.gaps");
}

/** Whether a check failed only for what the person's policy asks for. @param {Report["checks"][number]} check */
function isLacking({ name, reason }) {
  return name.startsWith("policy.") || (name === "anchors" && reason.startsWith("your policy requires"));
}

/** Of each check that failed, what the key that signed has to do with it. @param {Report} report */
function signedAndFailed(report) {
  const sentences = report.checks.map((check) => (check.result === "fail" && !isLacking(check) ? SIGNED_AND_FAILED[check.name] : undefined));
  return [...new Set(sentences)].filter((sentence) => sentence !== undefined);
}

/**
 * @param {string} question
 * @param {...(Node | null)} content
 */
function answer(question, ...content) {
  return [make("dt", null, question), make("dd", null, ...content)];
}

/**
 * @param {Report} report
 * @param {() => void} addKeys
 */
function signers(report, addKeys) {
  const signed = report.keys.filter((key) => key.signed);
  const silent = report.keys.filter((key) => key.chosen && !key.signed && key.name === report.origin);
  return [
    ...signed.map((key) =>
      make(
        "p",
        { class: "signer" },
        key.chosen ? "The key you chose, which names itself " : "A key that you did not choose, which names itself ",
        fileText(key.name),
        ". Its fingerprint, to compare: ",
        fingerprint(key.fingerprint),
      ),
    ),
    signed.length === 0 ? make("p", null, NOBODY) : null,
    ...(signed.some((key) => key.chosen) ? signedAndFailed(report).map((sentence) => make("p", null, sentence)) : []),
    ...silent.map((key) => make("p", null, signedNone(report, key) ? CHOSEN_SIGNED_NONE : CHOSEN_DID_NOT, fingerprint(key.fingerprint))),
    signed.length > 0 ? make("p", { class: "quiet" }, HOW_TO_COMPARE) : null,
    make("p", { class: "key-source" }, report.key_source),
    required(report),
    report.verdict === "self-consistent" && report.meets_policy === null
      ? make("p", { class: "buttons screen-only" }, make("button", { type: "button", click: addKeys }, "Add the producer’s keys"))
      : null,
  ];
}

/**
 * @param {Report} report
 * @param {Report["keys"][number]} key
 */
function signedNone(report, { name, key_id }) {
  return report.heads.every((head) => !head.signed_by.includes(`${name}+${key_id}`));
}

/** What the person's policy asks for besides a key. @param {Report} report */
function required(report) {
  if (report.verdict === "self-consistent" && report.meets_policy !== null) return make("p", null, NONE_OF_THE_CHOSEN);
  const checks = report.checks.filter(({ name, result }) => name.startsWith("policy.") && name !== "policy.signer" && result !== "absent");
  if (checks.some(({ result }) => result === "fail")) return make("p", null, REQUIRED_AND_LACKING);
  return checks.length > 0 && report.meets_policy ? make("p", null, REQUIRED_AND_THERE) : null;
}

/** @param {Report} report */
function since(report) {
  const times = report.runs.flatMap((run) => [run.started, run.ended]).filter((time) => time !== null).sort().map(moment);
  const [first, last] = [times[0], times.at(-1)];
  return [
    ...published(report),
    first === undefined || last === undefined
      ? null
      : make("p", null, `${OWN_CLOCK} `, first === last ? first : `${first} to ${last}`, "."),
  ];
}

/** The anchor that the verdict `public` rests on. @param {Report} report */
function newestPublic(report) {
  const check = report.checks.find(({ name, result }) => name === "anchors.time" && result === "pass");
  return check && report.anchors.find(({ public: since }) => since !== null && check.reason.includes(since));
}

/** What clocks that are not the producer's show. @param {Report} report */
function published(report) {
  const check = report.checks.find(({ name }) => name === "anchors.time") ?? report.checks.find(({ name }) => name === "anchors");
  if (report.verdict === "failed") return [make("p", null, report.anchors.length > 0 ? NO_DATE_OF_FAILED : NO_DATE)];
  const anchor = newestPublic(report);
  if (!anchor) return [make("p", null, NO_DATE), check ? make("p", null, fileText(`${capital(check.reason)}.`)) : null, publication(report)];
  return [
    make(
      "p",
      null,
      make("strong", null, `Public since ${moment(anchor.public ?? "")}`),
      ", by the clock that its certificate calls “",
      fileText(anchor.public_by ?? ""),
      "”, in the public log ",
      fileText(anchor.log),
      ".",
    ),
    make("p", null, OTHERS_CLOCK),
    publication(report),
  ];
}

/** @param {Report} report */
function publication(report) {
  return report.publication === null ? null : make("p", { class: "caution" }, `${capital(report.publication)}.`);
}

/** @param {Report} report */
function claimed(report) {
  if (report.card === null) return [make("p", null, NO_CARD)];
  const asserted = report.card.claims.filter((claim) => claim.kind === "asserted");
  const titles = [...new Set(asserted.map((claim) => claim.title))];
  const left = titles.length - NAMED;
  if (asserted.length === 0) return [make("p", null, NOTHING_ASSERTED)];
  return [
    make("p", null, `${CAN_ASSERT} `, ...titles.slice(0, NAMED).flatMap((title, i) => [i > 0 ? "; " : "", fileText(title)]), left > 0 ? `; and ${count(left)} more in the model card` : "", "."),
  ];
}

/**
 * @param {Report} report
 * @param {keyof typeof PROVEN} about
 */
function claimKinds(report, about) {
  const kinds = /** @type {ClaimKind[]} */ (["recomputed", "committed", "asserted"]);
  return [
    about === "failed" ? make("p", { class: "caution" }, NOT_TO_RELY_ON) : null,
    make("div", { class: "kinds" }, make("ul", null, ...kinds.map((kind) => make("li", null, claimKind(report, kind))))),
  ];
}

/**
 * @param {Report} report
 * @param {ClaimKind} kind
 */
function claimKind(report, kind) {
  // The counts leave out what failed and what this file does not establish.
  const others = (/** @type {ClaimStatus} */ status, /** @type {string} */ word) => {
    const n = report.card?.claims.filter((claim) => claim.kind === kind && claim.status === status).length ?? 0;
    return n > 0 ? `${count(n)} ${n === 1 ? "other" : "others"} ${word}` : "";
  };
  const notes = [others("failed", "failed"), others("not_established", "not established here")].filter(Boolean);
  const summary = make("span", null, make("strong", null, count(report.claim_counts[kind])), ` ${kind}`, notes.length > 0 ? ` (${notes.join(", ")})` : null);
  return details(summary, make("p", null, KIND_MEANING[kind]));
}
