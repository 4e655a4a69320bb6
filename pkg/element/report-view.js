// The report in words: verdict first, then what is and is not established, then the reasons.

import { answersView } from "./answers-view.js";
import { fillList } from "./long-list.js";
import { details, icon, make } from "./make.js";
import { table } from "./table.js";
import { capital, count, fileText, fileValue, fingerprint, hash, moment, signers } from "./values.js";
import { ABOUT_CHECKS, ABOUT_LOG, ABOUT_OPENINGS, CHECK_MEANING, EVEN_SO, PASSED_ALL_THE_SAME, RESULT_WORD, STILL_HOLDS } from "./words.js";

/** @import { Check, Report, Verdict } from "../index.js" */
/** @import { ModelAnswer } from "./model-panel.js" */

/** @type {Record<Verdict, "fail" | "question" | "key" | "seal">} */
const VERDICT_ICON = { "failed": "fail", "self-consistent": "question", "signed": "key", "public": "seal" };

/**
 * @param {Report} report
 * @param {string} fileName
 * @param {HTMLElement} title the heading that says the verdict, which takes the focus
 * @param {() => void} addKeys
 * @param {ModelAnswer | null} model
 */
export function verdictView(report, fileName, title, addKeys, model) {
  const failed = report.checks.filter((check) => check.result === "fail");
  return make(
    "section",
    { class: `verdict ${report.verdict}`, "aria-labelledby": title.id },
    make("div", { class: "band" }, icon(VERDICT_ICON[report.verdict]), make("div", null, make("p", { class: "kicker" }, ...subject(fileName, model)), title)),
    make(
      "div",
      { class: "body" },
      failed.length > 0 ? failedList(failed) : null,
      answersView(report, addKeys, model),
    ),
  );
}

/**
 * What the verdict is on: with a model, it is not on the evidence alone.
 * @param {string} fileName
 * @param {ModelAnswer | null} model
 */
function subject(fileName, model) {
  const file = ["Verdict on the file ", make("bdi", null, fileName)];
  if (model === null) return file;
  const [name] = model.names;
  return [...file, ", with the model ", ...(model.names.length === 1 && name ? [make("bdi", null, name)] : ["that you brought"]), " beside it"];
}

/** The title of a check says what holds if it passes. @param {string} title */
function notSo(title) {
  return `Does not hold: “${title}”`;
}

/** @param {Check[]} failed */
function failedList(failed) {
  const list = make("ul", { class: "failed-checks" });
  const more = fillList(list, failed, (check) =>
    make("li", null, icon("fail"), make("div", null, make("strong", null, notSo(check.title)), make("p", null, fileText(capital(check.reason))), meaning(check, true))),
  );
  return make("div", null, make("h3", null, failed.length === 1 ? "This check failed" : `These ${count(failed.length)} checks failed`), list, more);
}

/**
 * What a check tests, for people who are no cryptographers.
 * @param {Check} check
 * @param {boolean} [open]
 */
function meaning(check, open = false) {
  const text = CHECK_MEANING[check.name];
  if (!text) return null;
  const plain = details(make("span", null, "In plain words", make("span", { class: "unseen" }, `: ${check.title}`)), make("p", null, text));
  plain.classList.add("plain");
  plain.open = open;
  return plain;
}

/** The two lists, side by side. @param {Report} report */
export function establishedView(report) {
  return make(
    "div",
    { class: "two-lists" },
    sentenceList(report.verdict === "failed" && !report.scope?.log_holds ? PASSED_ALL_THE_SAME : "Established", "established", "pass", report.established, report.verdict === "failed" ? (report.scope?.log_holds ? STILL_HOLDS : EVEN_SO) : null),
    sentenceList("Not established", "not-established", "absent", report.not_established, null, report.checks.filter(({ result }) => result === "fail").map(({ title }) => title)),
  );
}

/**
 * @param {string} title
 * @param {string} id
 * @param {"pass" | "absent"} sign
 * @param {string[]} sentences
 * @param {string | null} caution
 * @param {string[]} [failed] titles of checks, which come first
 */
function sentenceList(title, id, sign, sentences, caution, failed = []) {
  const list = make("ul", { class: "sentences" });
  const first = failed.map((one) => make("li", null, icon("fail"), make("span", null, notSo(one))));
  const more = fillList(list, [...first, ...sentences], (one) => (one instanceof Node ? one : make("li", null, icon(sign), fileText(one))));
  return make(
    "section",
    { class: "panel", "aria-labelledby": id },
    make("h2", { id }, title),
    caution && sentences.length > 0 ? make("p", { class: "caution" }, caution) : null,
    sentences.length > 0 ? list : make("p", null, "Nothing."),
    more,
    id === "established" ? explained(details("What are tree heads, entries and witnesses?", make("p", null, ABOUT_LOG))) : null,
  );
}

/** Paper has this explanation once, with the log. @param {HTMLElement} details */
function explained(details) {
  details.classList.add("screen-only");
  return details;
}

/** @param {Report} report */
export function checksView(report) {
  const list = make("ol", { class: "checks" });
  const more = fillList(list, report.checks, checkItem);
  const number = (/** @type {Check["result"]} */ result) => count(report.checks.filter((check) => check.result === result).length);
  return make(
    "section",
    { class: "panel", "aria-labelledby": "checks-title" },
    make("h2", { id: "checks-title" }, "Checks"),
    make("p", null, `${number("pass")} passed, ${number("fail")} failed, ${number("absent")} absent.`),
    details("What is a check?", make("p", null, ABOUT_CHECKS)),
    list,
    more,
  );
}

/** @param {Check} check */
function checkItem(check) {
  const bytes = check.stands_on ?? [];
  return make(
    "li",
    { class: `check ${check.result}` },
    make("p", { class: `result ${check.result}` }, icon(check.result), RESULT_WORD[check.result]),
    make(
      "div",
      null,
      make("h3", null, check.title),
      make("p", null, fileText(capital(check.reason))),
      make("p", { class: "quiet" }, make("code", null, check.name)),
      meaning(check),
      bytes.length === 0
        ? null
        : details(
            `Stands on (${count(bytes.length)})`,
            make(
              "dl",
              { class: "stands-on" },
              ...bytes.flatMap((one) => [make("dt", null, one.what), make("dd", null, fileText(one.bytes, "data code"))]),
            ),
          ),
    ),
  );
}

/**
 * What the file holds of the log: heads and who cosigned the newest, runs, entries, openings, and the keys that signed.
 * @param {Report} report
 * @param {(index: number) => void} showEntry
 */
export function logView(report, showEntry) {
  const { entries } = report;
  return make(
    "section",
    { class: "panel", "aria-labelledby": "log-title" },
    make("h2", { id: "log-title" }, "The log"),
    details("What is a log, and what is a head?", make("p", null, ABOUT_LOG)),
    make(
      "dl",
      { class: "facts" },
      ...fact("Origin", report.origin === null ? make("span", { class: "quiet" }, "none") : fileText(report.origin)),
      ...fact("Size", `${count(report.size)} entries`),
      ...fact("Root", hash(report.root)),
      ...fact(
        "In this file",
        entries.complete ? `All ${count(entries.of)} entries` : `${count(entries.present)} of ${count(entries.of)} entries`,
      ),
      ...fact("Kinds of entry", fileValue(entries.types)),
    ),
    entries.present > 0 ? entryChooser(report.size, showEntry) : null,
    titled("Keys", "The file names no key.", ["Name", "Algorithm", "Fingerprint", "Chosen by you", "Signed"], report.keys, (key) => [
      fileText(key.name),
      key.algorithm,
      fingerprint(key.fingerprint),
      key.chosen ? "yes" : "no",
      key.signed ? "yes" : "no",
    ]),
    report.handovers.length > 0 ? handovers(report.handovers, showEntry) : null,
    report.compromised.length > 0
      ? titled("Keys that may have been in strangers' hands", "", ["Fingerprint", "Since", "Said by"], report.compromised, (key) => [
          fingerprint(key.fingerprint),
          moment(key.since),
          key.said_by,
        ])
      : null,
    titled("Heads", "The file holds no head.", ["Size", "Root", "Signed by"], report.heads, (head) => [
      count(head.size),
      hash(head.root),
      signers(report, head.signed_by),
    ]),
    titled("Witnesses", "The policy names no witness.", ["Name", "Fingerprint of its key", "Cosigned the newest head, by its own clock"], report.witnesses, (witness) => [
      fileText(witness.name),
      fingerprint(witness.fingerprint),
      witness.at === null ? "no" : moment(witness.at),
    ]),
    titled("Runs", "The file holds no run.", ["Run", "Started", "Ended", "Events"], report.runs, (run) => [
      hash(run.run),
      run.started === null ? "not in the file" : moment(run.started),
      run.ended === null ? "not in the file" : moment(run.ended),
      count(run.events),
    ]),
    make("h3", null, "Openings"),
    details("What is an opening?", make("p", null, ABOUT_OPENINGS)),
    titled(null, "The producer opened nothing in this file.", ["Entry", "Field", "Value", "Check"], report.openings, (opening) => [
      make("button", { type: "button", class: "small", click: () => showEntry(opening.entry) }, `Entry ${count(opening.entry)}`),
      fileText(opening.field),
      fileValue(opening.value),
      make("span", { class: `result ${opening.result}` }, icon(opening.result), RESULT_WORD[opening.result]),
    ]),
  );
}

/**
 * What the keys of each role sign.
 * @type {Record<string, string>}
 */
const KEY_SIGNS = { log: "tree heads", cosigner: "tree heads, against quantum computers", publisher: "publications" };

/**
 * How one key led to the next.
 * @param {Report["handovers"]} list
 * @param {(index: number) => void} showEntry
 */
function handovers(list, showEntry) {
  const columns = ["Entry", "They sign", "From", "To", "Shown by the head of size", "Public since", "Counts"];
  return titled("Keys that handed over", "", columns, list, (handover) => [
    make("button", { type: "button", class: "small", click: () => showEntry(handover.entry) }, `Entry ${count(handover.entry)}`),
    KEY_SIGNS[handover.role],
    handover.role === "publisher" ? fingerprint(handover.old) : fileText(handover.old),
    handover.role === "publisher"
      ? fingerprint(handover.new)
      : make("span", null, fileText(handover.new), make("br", null), fingerprint(handover.new_fingerprint)),
    handover.head === null ? "not in the file" : count(handover.head),
    handover.public === null ? "not shown" : moment(handover.public),
    handover.holds ? "yes" : "no",
  ]);
}

/**
 * @param {string} name
 * @param {Node | string} value
 */
function fact(name, value) {
  return [make("dt", null, name), make("dd", null, value)];
}

/**
 * @param {number} size
 * @param {(index: number) => void} showEntry
 */
function entryChooser(size, showEntry) {
  const number = make("input", { id: "entry-number", type: "number", min: 0, max: size - 1, step: 1, value: 0, required: true });
  return make(
    "form",
    {
      class: "entry-chooser screen-only",
      submit: (event) => {
        event.preventDefault();
        showEntry(number.valueAsNumber);
      },
    },
    make("label", { for: "entry-number" }, `Log entry, 0 to ${count(size - 1)}`),
    make("span", { class: "buttons" }, number, make("button", { type: "submit" }, "Show")),
  );
}

/**
 * A table below its title.
 * @template T
 * @param {string | null} title
 * @param {string} none what to say when there is no row
 * @param {string[]} columns
 * @param {T[]} items
 * @param {(item: T) => (Node | string)[]} cells
 */
function titled(title, none, columns, items, cells) {
  const heading = title === null ? null : make("h3", null, title);
  if (items.length === 0) return make("div", null, heading, make("p", null, none));
  const label = title ?? "Openings";
  return make("div", null, heading, ...table({ label, columns, items, cells, named: label.toLowerCase() }));
}
