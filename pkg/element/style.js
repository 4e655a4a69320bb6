// The look of the element. It follows the color scheme of the page around it: light
// unless the page says `color-scheme: light dark`.
//
// Green means one thing here, the verdict "public", and is used for nothing else: a
// passed check in green would make a failed file look good.

export const STYLE = `
:host {
  --text: light-dark(#16202c, #e8ecf1);
  --quiet: light-dark(#51606f, #a9b4c0);
  --surface: light-dark(#ffffff, #171d24);
  --raised: light-dark(#f3f5f7, #212932);
  --line: light-dark(#d3d9df, #3a444f);
  --edge: light-dark(#6b7885, #8a96a3);
  --link: light-dark(#1d4f91, #9cc4f5);
  --action: light-dark(#1d4f91, #2c65ad);
  --failed: light-dark(#b3141c, #c02a31);
  --failed-text: light-dark(#a3121a, #ff9b97);
  --signed: light-dark(#1d4f91, #2c65ad);
  --public: light-dark(#12663a, #17774a);
  --open: light-dark(#ffd667, #e8b93f);
  --open-text: #201800;

  display: block;
  color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  text-align: start;
}
:host([hidden]), [hidden] { display: none !important; }
*, *::before, *::after { box-sizing: border-box; }

h2, h3, p, ul, ol, dl, dd, pre, fieldset, figure { margin: 0; padding: 0; }
h2 { font-size: 1.375rem; line-height: 1.25; font-weight: 650; }
h3 { font-size: 1.0625rem; line-height: 1.35; font-weight: 650; }
ul, ol { list-style: none; }
fieldset { border: 0; min-width: 0; }
legend { padding: 0; font-weight: 600; }
code, pre, .code { font: 0.875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code, pre, bdi, .data { overflow-wrap: anywhere; }
dd, p, li, h2, h3, td, th, label { overflow-wrap: break-word; }
p, li { text-wrap: pretty; }
.code, pre { white-space: pre-wrap; }
.hash { word-break: break-all; }
.fingerprint { display: block; letter-spacing: 0.02em; }
.quiet, .hint { color: var(--quiet); font-size: 0.9375rem; }
.name { font-weight: 600; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.print-only { display: none; }
.icon {
  width: 1.25em; height: 1.25em; flex: none;
  fill: none; stroke: currentColor; stroke-width: 2.5; stroke-linecap: round; stroke-linejoin: round;
}

.verifier, .slot { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1.5rem; }
.slot:empty { display: none; }
.panel {
  display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem; align-content: start;
  background: var(--surface); border: 1px solid var(--line); border-radius: 4px; padding: 1.5rem;
}
.panel p, .sentences li, .body p { max-width: 48rem; }

/* Actions */
button, input, textarea { font: inherit; color: inherit; }
button {
  min-height: 2.75rem; padding: 0.5rem 1rem; border: 1px solid var(--edge); border-radius: 4px;
  background: var(--surface); color: var(--text); font-weight: 600; cursor: pointer; text-align: start;
  overflow-wrap: anywhere;
}
button:hover { background: var(--raised); }
button:disabled { color: var(--quiet); border-color: var(--line); cursor: default; }
button.primary { background: var(--action); border-color: var(--action); color: #fff; justify-self: start; }
button.primary:hover { filter: brightness(0.9); }
button.small { min-height: 1.75rem; padding: 0.125rem 0.5rem; font-size: 0.875rem; font-weight: 500; justify-self: start; white-space: nowrap; }
.buttons { display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; }
input[type="text"], input[type="search"], input[type="number"], textarea {
  width: 100%; min-height: 2.75rem; padding: 0.5rem 0.625rem;
  background: var(--surface); border: 1px solid var(--edge); border-radius: 4px;
}
input[type="number"] { width: 9rem; }
textarea { font: 0.9375rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; resize: vertical; }
[aria-invalid="true"] { border: 2px solid var(--failed-text); }
input[type="radio"] { width: 1.125rem; height: 1.125rem; margin: 0 0.5rem 0 0; vertical-align: -0.15em; accent-color: var(--action); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
[tabindex="-1"]:focus:not(:focus-visible) { outline: none; }

details > summary { cursor: pointer; color: var(--link); width: fit-content; max-width: 100%; padding: 0.25rem 0; }
details > summary:hover { text-decoration: underline; }
details[open] > summary { margin-bottom: 0.5rem; }
details > :not(summary) { margin-inline-start: 0.25rem; padding-inline-start: 0.875rem; border-inline-start: 2px solid var(--line); }
details ul { display: grid; gap: 0.5rem; }
details > p + ul { margin-top: 0; padding-top: 0.5rem; }

/* Long text: its start, or all of it */
.long > bdi, .long > details > bdi { display: block; }
.long:has(> details[open]) > .start-of { display: none; }

/* Choosing a file */
.start {
  display: grid; justify-items: center; gap: 0.75rem; padding: 3rem 1.5rem; text-align: center;
  background: var(--surface); border: 2px dashed var(--edge); border-radius: 6px;
}
.start.over { border-style: solid; border-color: var(--link); background: var(--raised); }
.start button.primary { justify-self: center; }
.invite { font-size: 1.375rem; font-weight: 650; }
.checking { padding: 2rem 1.5rem; border: 1px solid var(--line); border-radius: 4px; background: var(--surface); display: grid; gap: 1rem; }
.checking p { font-size: 1.75rem; font-weight: 650; }
.bar { height: 4px; border-radius: 2px; background: var(--line); overflow: hidden; }
.bar::after { content: ""; display: block; width: 30%; height: 100%; background: var(--link); animation: slide 1.4s ease-in-out infinite alternate; }
@keyframes slide { from { transform: translateX(-20%); } to { transform: translateX(253%); } }

/* The file */
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.25rem 1.25rem; }
.facts dt { color: var(--quiet); }
.file { display: flex; flex-wrap: wrap; gap: 0.75rem 2rem; align-items: center; justify-content: space-between; }
.file .facts { flex: 1 1 24rem; }

/* The verdict */
.verdict { border: 2px solid var(--band); border-radius: 6px; background: var(--surface); overflow: clip; }
.verdict.failed { --band: var(--failed); --on-band: #fff; }
.verdict.unreadable { --band: light-dark(#3d4854, #4a5663); --on-band: #fff; }
.verdict.signed { --band: var(--signed); --on-band: #fff; }
.verdict.public { --band: var(--public); --on-band: #fff; }
.verdict.self-consistent { --band: var(--open); --on-band: var(--open-text); }
.band { display: flex; gap: clamp(0.75rem, 2vw, 1.5rem); align-items: center; padding: 1.5rem; background: var(--band); color: var(--on-band); }
.band .icon { width: clamp(2.5rem, 7vw, 4.5rem); height: auto; stroke-width: 2; }
.band h2 { font-size: clamp(1.625rem, 1.1rem + 2.4vw, 2.75rem); line-height: 1.12; font-weight: 750; letter-spacing: -0.01em; text-wrap: balance; }
/* Focus comes here so that a screen reader starts at the verdict; there is nothing to operate. */
.band h2:focus { outline: none; }
.kicker { overflow-wrap: anywhere; font-size: 1rem; font-weight: 600; margin-bottom: 0.25rem; }
.body { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem; padding: 1.5rem; }
.answers { display: grid; grid-template-columns: 11rem minmax(0, 1fr); }
.answers > dt, .answers > dd { padding-block: 0.75rem; border-top: 1px solid var(--line); }
.answers:first-child > :is(dt:first-child, dt:first-child + dd) { padding-top: 0; border-top: 0; }
.answers > dt { padding-inline-end: 1rem; font-weight: 650; }
.answers > dd { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.5rem; }
.not-proven { font-weight: 650; }
.failed-checks details { margin-top: 0.125rem; }
.failed-checks { display: grid; gap: 0.75rem; margin-top: 0.5rem; }
.failed-checks li { display: flex; gap: 0.625rem; }
.failed-checks .icon { color: var(--failed-text); }
.kinds ul { display: flex; flex-wrap: wrap; gap: 0 2rem; }
.kinds li { max-width: 20rem; }
.kinds strong { font-size: 1.25rem; }

/* Established and not */
.two-lists { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1.5rem; }
.sentences { display: grid; gap: 0.75rem; }
.sentences li { display: flex; gap: 0.625rem; }
.sentences .icon { margin-top: 0.125em; color: var(--quiet); }

/* Checks */
.checks { border-top: 1px solid var(--line); }
.check { display: grid; grid-template-columns: 7rem minmax(0, 1fr); gap: 0.25rem 1rem; padding: 0.875rem 0; border-bottom: 1px solid var(--line); }
.result, .status { display: flex; gap: 0.375rem; align-items: flex-start; font-weight: 600; }
.result .icon, .status .icon { margin-top: 0.125em; }
.result.fail, .status.failed { color: var(--failed-text); }
.result.absent, .status.not_established, .status.stated { color: var(--quiet); }
.check.fail { box-shadow: inset 4px 0 0 var(--failed-text); padding-inline-start: 1rem; }
.stands-on { display: grid; gap: 0.25rem; }
.stands-on dt { font-weight: 600; }
.stands-on dd + dt { margin-top: 0.5rem; }

/* Published heads */
.anchor-checks { display: grid; gap: 0.5rem; }
.anchor-checks li { display: grid; grid-template-columns: 7rem minmax(0, 1fr); gap: 0.25rem 1rem; }
.anchors { table-layout: fixed; font-size: 0.875rem; }
.anchors th:nth-child(1) { width: 10%; }
.anchors th:nth-child(2) { width: 8%; }
.anchors th:nth-child(6) { width: 8%; }

/* Tables */
table { width: 100%; border-collapse: collapse; }
th, td { padding: 0.5rem 1rem 0.5rem 0; border-bottom: 1px solid var(--line); text-align: start; vertical-align: top; }
thead th { color: var(--quiet); font-size: 0.9375rem; font-weight: 600; border-bottom-color: var(--edge); }
tbody th { font-weight: 600; }
.card { table-layout: fixed; }
.card th:nth-child(1) { width: 27%; }
.card th:nth-child(2) { width: 22%; }
.card th:nth-child(3) { width: 13%; }
.card th:nth-child(4) { width: 21%; }
.reason, .references { font-size: 0.9375rem; font-weight: 400; color: var(--quiet); }
.references { margin-top: 0.25rem; }
.pairs, .evidence { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.25rem; }
.pairs { overflow-wrap: anywhere; }
.evidence button { margin-bottom: 0.25rem; }
.kind { display: inline-block; padding: 0 0.5rem; border: 1px solid var(--edge); border-radius: 999px; font-size: 0.9375rem; }
.kind.recomputed { border-style: solid; }
.kind.committed { border-style: dashed; }
.kind.asserted { border-style: dotted; }
.more { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: end; padding-top: 0.75rem; }
.find { display: grid; gap: 0.25rem; flex: 1 1 100%; }
.find input { max-width: 24rem; }
.numbers { font-size: 0.9375rem; }
.numbers td { width: 50%; }

/* A long list: what is out of sight is not drawn. Rows of a table have to be boxes for that. */
:is(ul, ol).many > li { content-visibility: auto; contain-intrinsic-block-size: auto 3rem; }
.of-many > tbody + tbody { content-visibility: auto; contain-intrinsic-block-size: auto 300rem; }
.of-many, .of-many > thead, .of-many > tbody { display: block; }
.of-many tr { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); }
.of-many.card tr { grid-template-columns: 27fr 22fr 13fr 21fr 17fr; }
.of-many.weights tr { grid-template-columns: 10fr 13fr 18fr 20fr 20fr 19fr; }
.of-many.anchors tr { grid-template-columns: 8fr 8fr 18fr 20fr 20fr 8fr 18fr; }
.of-many:is(.card, .weights, .anchors) th { width: auto !important; }
.entry-chooser { display: grid; gap: 0.25rem; }

/* Keys */
.adding > summary { list-style: none; padding: 0.5rem 1rem; border: 1px solid var(--edge); border-radius: 4px; color: var(--text); font-weight: 600; }
.adding > summary::-webkit-details-marker { display: none; }
.adding > summary::before { content: "+ "; }
.adding[open] > summary::before { content: "− "; }
.adding > summary:hover { text-decoration: none; background: var(--raised); }
.keys { display: grid; gap: 0.75rem; }
.keys li { display: flex; gap: 0.625rem; }
.keys li > div { min-width: 0; }
.choice { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.5rem; padding: 0.75rem 0; border-bottom: 1px solid var(--line); }
.choice label { padding: 0.25rem 0; cursor: pointer; }
.choice > :not(label) { margin-inline-start: 1.625rem; }
.contents { display: grid; gap: 0.75rem; }
.keys-panel fieldset + p { margin-top: 1rem; }
.caution { font-weight: 600; }
.key-form { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem; padding-block: 0.5rem; }
.key-form > p { margin: 0; }
.field { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.375rem; max-width: 46rem; }
.field label { font-weight: 600; }
.preview { display: grid; gap: 0.75rem; padding: 1rem; background: var(--raised); border-radius: 4px; max-width: 46rem; }
.preview:empty { display: none; }
.error { color: var(--failed-text); font-weight: 600; }
.proposal { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.75rem; padding: 1rem; border: 2px dashed var(--edge); border-radius: 4px; }

/* A model that the person brings */
.model, .reading { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem; }
.drop { display: grid; justify-items: start; gap: 0.75rem; padding: 1.25rem; border: 2px dashed var(--edge); border-radius: 6px; }
.reading { gap: 0.5rem; }
progress { width: 100%; max-width: 48rem; height: 0.75rem; accent-color: var(--action); }
.outcome { display: flex; gap: 0.75rem; padding: 1rem; background: var(--raised); border-inline-start: 4px solid var(--edge); }
.outcome > div { display: grid; gap: 0.25rem; min-width: 0; }
.outcome.fail { border-color: var(--failed-text); }
.outcome.fail .icon { color: var(--failed-text); }
.outcome h3:focus { outline: none; }

/* Charts. Lines take the color of fill, the grid that of the border, words that of the text. */
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1.5rem; }
.chart { display: grid; grid-template-columns: minmax(0, 1fr); gap: 0.25rem; align-content: end; }
.chart figcaption { font-weight: 600; }
.plot { min-height: 200px; overflow: hidden; color: var(--quiet); fill: var(--link); border: 0 solid var(--line); }
.on-paper .plot { color-scheme: light; }
/* What uPlot's own style sheet says, as far as these charts need it. */
.u-wrap { position: relative; }
.u-over, .u-under, .u-axis { position: absolute; }
.uplot canvas { display: block; position: relative; width: 100%; height: 100%; }
.weights { table-layout: fixed; font-size: 0.875rem; }
.weights th:nth-child(1) { width: 10%; }
.weights th:nth-child(2) { width: 13%; }
.weights th:nth-child(3) { width: 18%; }
.weights th:nth-child(4) { width: 20%; }
.weights .hash { font-size: 0.75rem; }

/* A log entry */
dialog {
  width: min(52rem, calc(100vw - 2rem)); max-height: calc(100dvh - 2rem); padding: 0;
  border: 1px solid var(--edge); border-radius: 6px; background: var(--surface); color: var(--text);
}
dialog[open] { display: grid; grid-template-rows: auto minmax(0, 1fr) auto; }
dialog::backdrop { background: rgb(0 0 0 / 0.55); }
dialog header, dialog footer { padding: 1rem 1.5rem; }
dialog .content { padding: 1rem 1.5rem; overflow: auto; background: var(--raised); border-block: 1px solid var(--line); }
dialog .content:focus-visible { outline-offset: -3px; }

@media (max-width: 44rem) {
  .panel, .body, .band { padding: 1rem; }
  .start { padding: 2rem 1rem; }
  .band { align-items: start; }
  .facts { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .facts dd { margin-bottom: 0.5rem; }
  .check, .anchor-checks li { grid-template-columns: minmax(0, 1fr); }
  .answers { grid-template-columns: minmax(0, 1fr); }
  .answers > dt { padding-bottom: 0; }
  .answers > dd { padding-top: 0.25rem; border-top: 0; }
  table.stacks, .stacks tbody, .stacks tr, .stacks th, .stacks td { display: block; width: auto !important; }
  .stacks thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .stacks tr { padding: 0.75rem 0; border-bottom: 1px solid var(--edge); }
  .stacks th, .stacks td { border: 0; padding: 0.25rem 0; }
  .stacks td { display: grid; grid-template-columns: 6.5rem minmax(0, 1fr); gap: 0.5rem; }
  .stacks td.none { display: none; }
  .stacks td::before { content: attr(data-column); color: var(--quiet); font-size: 0.9375rem; }
}

@media (prefers-reduced-motion: reduce) {
  .bar::after { animation: none; width: 100%; opacity: 0.5; }
}

@media (forced-colors: active) {
  .verdict, .check.fail { border: 2px solid; }
}

/* The page around it sets the size of type on paper. */
@media print {
  :host { color-scheme: light; }
  .screen-only, .adding, .more button, .checks .check:not(.fail) details.plain, .proposal, .keys-panel .kept, .keys-panel > details, .choice button { display: none !important; }
  .print-only { display: block; }
  td button { display: inline; min-height: 0; border: 0; padding: 0; background: none; font-weight: 400; }
  td button.small { min-height: 0; padding: 0; font-size: inherit; }

  /* Blocks, because grids that run over several pages come out with their rows overlapping. */
  .verifier, .slot, .panel, .checks, .sentences { display: block; }
  .verifier > * + *, .slot > * + * { margin-top: 1.5rem; }
  .panel > * + * { margin-top: 0.625rem; }
  .sentences > * + * { margin-top: 0.5rem; }
  .unseen { display: none; }
  .panel { border: 0; border-top: 1px solid var(--edge); border-radius: 0; padding: 0.75rem 0 0; }
  .body { gap: 0.625rem; }
  .panel p, .sentences li, .body p { max-width: none; }
  .band { background: none; color: var(--text); border-bottom: 2px solid var(--band); padding: 1rem 1.5rem; }
  .verdict { border-width: 3px; }
  .verdict.self-consistent { --band: #8a6a00; }
  .band .icon { width: 3.5rem; color: var(--band); }
  .band h2 { font-size: 2.25rem; }
  .two-lists { grid-template-columns: 1fr 1fr; }
  :is(ul, ol).many > li, .of-many > tbody + tbody { content-visibility: visible; }
  .answers, .answers > dd { display: block; }
  .answers > dt { padding: 0.375rem 0 0; break-after: avoid; }
  .answers > dd { padding: 0 0 0.375rem; border-top: 0; break-inside: avoid; }
  .answers > dd > * + * { margin-top: 0.25rem; }
  .kinds ul { display: grid; grid-template-columns: repeat(3, 1fr); gap: 0 1rem; }
  .kind { border: 0; padding: 0; }
  th, td { padding: 0.375rem 0.75rem 0.375rem 0; }
  .card th:nth-child(1) { width: 24%; }
  .card th:nth-child(2) { width: 27%; }
  .check { padding: 0.5rem 0; }
  .charts { grid-template-columns: 1fr 1fr; }
  .chart { break-inside: avoid; }

  details > summary { list-style: none; color: var(--text); font-weight: 600; break-after: avoid; }
  details > summary::-webkit-details-marker { display: none; }
  .long > details > summary { display: none; }
  .long.cut > details { display: none; }
  .long.cut > .start-of { display: block !important; }

  /* Of the keys, those that counted. */
  .choice:has(input:not(:checked)), .choice input, .keys-panel legend { display: none; }
  .choice { border: 0; padding: 0; }
  .choice > :not(label) { margin: 0; }

  h2, h3 { break-after: avoid; }
  .band, .model, .sentences li, details:not(:has(.long)) > p, .keys li { break-inside: avoid; }
  .check:not(:has(.long)), .stacks tr:not(:has(.long, .code)) { break-inside: avoid; }
}
`;
