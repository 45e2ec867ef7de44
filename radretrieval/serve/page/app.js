/* The page: what is asked and answered. The address says it, by the names of the API's fields, with `roi` and `hit`. */

import * as films from "./films.js";
import * as filters from "./filters.js";
import * as hits from "./hits.js";
import { $, $$, Problem, call, changed, copy, h, kept, language, load, number, percent, t } from "./page.js";

const QUERY = ["id", "sop", "study", "upload"]; // one of them is the query
const NARROWS = ["where", "one_per", "exclude_same_patient", "top", "relevant", "not_relevant"];
let address = new URLSearchParams();
let answer;
let chosen; // place of the hit that is shown
let regions; // image id → what became of the region in it
let me = { roles: [], send_to: [] };
const words = {}; // of IRMA codes
const said = new Map(); // image id → whether it is relevant to the query

const asked = (from) => QUERY.map((field) => from.get(field)).find(Boolean);
const name = () => (answer.query.upload ? answer.query.name : t("image", { id: answer.query.image_id }));
const hit = () => answer.hits[chosen];

/* What was done, or is being done (busy). */
function tell(text, busy) {
  $("#progress span").textContent = text;
  $("progress").hidden = !busy;
}

/* The same function, saying what was refused; a newer request of its kind ends an older one by `signal`. */
const trying = (act) => async (...given) => {
  try {
    return await act(...given);
  } catch (error) {
    if (error.name === "AbortError") return null;
    tell("");
    if (!(error instanceof Problem)) throw error;
    $("#problem strong").textContent = error.title;
    $("#problem span").textContent = error.status === 404 && address.has("upload") ? t("uploadGone") : error.message;
    $("#problem").hidden = false;
    return null;
  }
};
const running = {};
function only(kind) {
  running[kind]?.abort();
  return (running[kind] = new AbortController()).signal;
}

function form(from, fields, more = {}) {
  const made = new FormData();
  for (const [field, value] of from) if (QUERY.includes(field) || fields.includes(field)) made.append(field, value);
  for (const [field, value] of Object.entries(more)) made.append(field, value);
  return made;
}

/* Search what an address says, or a file; `push`: as a new step of the browser's history. */
async function search(next, { file, push = true } = {}) {
  const signal = only("search");
  $("#problem").hidden = true;
  let found = null;
  if (file || asked(next)) {
    tell(t(file ? "sending" : "searching", { name: file?.name }), true);
    const more = { explain: true, candidates: Math.max(50, next.get("top")), ...(file && { file }) };
    found = await call("api/search", form(next, NARROWS, more), { signal });
    const codes = found.hits.map((one) => ["code", one.irma_code]).filter(([, code]) => code && !words[code]);
    if (codes.length) Object.assign(words, await call(`api/codes?${new URLSearchParams(codes)}`, null, { signal }));
    const { image_id: id, upload } = found.query;
    if (file) next.set(id == null ? "upload" : "id", id ?? upload);
    if (asked(next) !== asked(address)) said.clear();
    for (const id of next.getAll("relevant")) said.set(+id, true);
    for (const id of next.getAll("not_relevant")) said.set(+id, false);
  }
  answer = found;
  address = next;
  remember(push);
  draw();
}

/* Ask for a file, or for an image by its number, SOP Instance UID or study; the filters stay. */
async function ask(what) {
  const next = changed(address, [...address.keys()].filter((field) => !filters.NAMES.includes(field)));
  if (what instanceof File) return search(next, { file: what });
  const [, field, text] = what.trim().match(/^(?:(id|sop|study)\s*[:=]\s*)?(.*)$/i);
  if (!text) return null;
  const asks = (one) => search(new URLSearchParams([...next, [one, text]]));
  if (field || !text.includes(".")) return asks(field?.toLowerCase() ?? "id");
  return asks("sop").catch((error) => {
    if (error.status !== 404) throw error;
    return asks("study");
  });
}

function remember(push) {
  history[push ? "pushState" : "replaceState"](null, "", asked(address) ? `?${address}` : location.pathname);
}

function draw() {
  $("#start").hidden = Boolean(answer);
  $("#answer").hidden = !answer;
  document.title = answer ? `${name()} – radretrieval` : "radretrieval";
  $("#query").value = address.has("upload") ? "" : asked(address) ?? "";
  if (!answer) return tell("");
  const { query, returned: n, requested } = answer, label = t("queryLabel", { name: name() });
  tell(t("hitsReady", { n, name: name() }));
  $("#notes").replaceChildren(...notes());
  $("#hits-title").textContent = t("hitsTitle", { n });
  $("[data-act=more]").hidden = n < requested;
  hits.fill(answer.hits, words, choose);
  hits.judged(answer.hits, said);
  filters.draw(address, trying(search));
  films.show(0, query.film, label, [h("b", {}, t("queryFilm")), name(), " ", query.irma_code]);
  films.show(1, null);
  $("#detail").hidden = !n;
  regions = null;
  choose(Math.max(answer.hits.findIndex(({ rank }) => rank === +address.get("hit")), 0));
  const [x, y, width, height] = address.get("roi")?.split(",").map(Number) ?? [];
  locate(height && { x, y, width, height });
}

/* What has to be known before the hits are looked at. */
function notes() {
  const { hidden, matched, pending, returned, requested, query_problems: problems } = answer;
  const filtered = hidden != null, list = [];
  const note = (holds, key, values, className = "", ...before) => holds && list.push(h("p", { className }, before, t(key, values)));
  note(answer.nothing_similar, "nothingWhy", { bits: number(answer.nearest_distance), percent: percent(answer.farther_than) }, "warn",
    h("strong", {}, t(filtered ? "nothingFiltered" : "nothing")));
  note(answer.query_flat, "flat", {}, "warn");
  note(filtered, !hidden ? "hiddenNone" : answer.hidden_at_least ? "hiddenLeast" : "hidden", { n: hidden, matched });
  note(returned < requested, "fewer", { returned, requested });
  note(pending, "pending", { n: pending });
  note(answer.path === "hnsw", "approximate");
  note(problems.length, "problems", { text: problems.join("; ") });
  return list;
}

/* Show a hit beside the query. */
const choose = trying(async (index) => {
  const signal = only("hit"), one = answer.hits[(chosen = index)];
  if (!one) return;
  const { image_id: id, rank, study_instance_uid: study } = one;
  address.set("hit", rank);
  remember();
  hits.mark(index);
  panel();
  const caption = [h("b", {}, t("rank", { rank })), t("image", { id })];
  const { film, sop_instance_uid: sop } = await call(`api/images/${id}`, null, { signal }).catch((error) => {
    films.show(1, null, "", [...caption, " ", error.message]);
    throw error;
  });
  films.show(1, film, t("hitLabel", { rank, id }), caption);
  films.found(regions?.get(id)?.roi);
  const uids = { StudyInstanceUID: study, SOPInstanceUID: sop };
  $("#study").hidden = !me.viewer_url || !study;
  $("#study").href = me.viewer_url?.replace(/\{(\w+)\}/g, (_, uid) => encodeURIComponent(uids[uid] ?? "")) ?? "";
});

function panel() {
  if (!hit()) return;
  const { image_id: id, irma_code: code } = hit();
  hits.panel(hit(), words[code], regions?.get(id));
  for (const button of $$("[data-act=judge]")) button.ariaPressed = said.get(id) === (button.dataset.value === "yes");
  $("[data-act=refine]").textContent = t("refineWith", { n: said.size });
  $("[data-act=refine]").disabled = !said.size;
}

/* Find the region in every hit. */
const locate = trying(async (box) => {
  const signal = only("region"), region = box && { x: 0, y: 0, width: 0, height: 0 };
  for (const side in region) region[side] = Math.round(box[side]);
  films.region(region);
  address.delete("roi");
  if (region) address.set("roi", Object.values(region));
  remember();
  located(null);
  if (!region) return;
  const content = form(address, ["roi"]);
  for (const { image_id: id } of answer.hits) content.append("images", id);
  tell(t("finding"), true);
  const found = (await call("api/region", content, { signal })).regions;
  located(new Map(found.map((one) => [one.image_id, one])));
  tell(t("regionReady", { found: found.filter(({ roi }) => roi?.found).length, n: found.length }));
});

function located(found) {
  regions = found;
  hits.regions(answer.hits, found);
  films.found(found?.get(hit()?.image_id)?.roi);
  panel();
}

async function judge(value) {
  const { image_id: id, rank } = hit(), { image_id: query, upload } = answer.query;
  const wanted = value === "yes", relevant = said.get(id) === wanted ? null : wanted; // once more takes it back
  await call("api/feedback", { id: query, upload, hit: id, relevant, rank, encoder_id: answer.encoder_id });
  if (relevant === null) said.delete(id);
  else said.set(id, relevant);
  hits.judged(answer.hits, said);
  panel();
  tell(t("said"));
}

function wrong() {
  $("#wrong form").reset();
  $("#wrong-title").textContent = t("wrongTitle", { id: hit().image_id });
  $("#wrong").showModal();
}

async function report() {
  const { expected, remark } = $("#wrong form").elements, { image_id: id } = hit();
  if ($("#wrong").returnValue !== "send") return;
  await call("api/labels/reports", { image: id, expected: expected.value || null, remark: remark.value || null });
  tell(t("wrongSent", { id }));
}

/* Save the answer as a file, KIND.SUFFIX; or send its report to a node. */
async function output(file, to) {
  tell(t("saving"), true);
  const path = to ? "send" : `outputs/${file.split(".")[0]}`;
  const made = await call(`api/${path}`, form(address, [...NARROWS, "roi"], to && { to }), { file });
  if (to) return tell(t("sent", { to }));
  const href = URL.createObjectURL(made);
  h("a", { href, download: `radretrieval-${file}` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1e4);
  return tell("");
}

const ACTS = {
  judge, wrong, output, mode: films.mode, tool: films.tool, link: films.toggleLink, compare: films.toggleCompare, full: films.full,
  send: (to) => output("", to),
  noregion: () => locate(null),
  print: () => print(),
  help: () => $("#help").showModal(),
  close: () => ($("#problem").hidden = true),
  from: () => ask(`${hit().image_id}`),
  more: () => search(changed(address, ["top"], [["top", answer.requested + 10]])),
  refine: () => search(changed(address, ["relevant", "not_relevant", "hit"], [...said].map(([id, yes]) => [yes ? "relevant" : "not_relevant", id]))),
  copy: async () => tell(t((await copy(location.href)) ? (address.has("upload") ? "copiedUpload" : "copied") : "notCopied")),
  theme: () => {
    const { colorScheme } = getComputedStyle(document.documentElement);
    document.documentElement.dataset.theme = kept("theme", colorScheme === "light" ? "dark" : "light");
  },
};

const ARROWS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -1e3, End: 1e3 }; // from hit to hit

/* Single keys click what names them; not while something is typed, nor where the reader has turned them off. */
function pressed(event) {
  const { key, target } = event, onHit = target.matches(".hit");
  const step = { j: 1, k: -1, ...(onHit && ARROWS) }[key], named = $(`[data-key="${CSS.escape(key.toLowerCase())}"]`);
  if (key === "Escape") for (const one of $$(".chip[open]")) one.open = $("summary", one).focus();
  const typing = target.closest("input:not([type=checkbox]), textarea, select, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || (!$("#single").checked && !ARROWS[key])) return;
  if (step && answer) {
    choose(hits.neighbour(chosen, step));
    if (onHit) hits.focus(chosen);
  } else if (named && (answer || !named.closest("#answer")) && !named.hidden) {
    if (key === "/") named.focus();
    else named.click();
  } else return;
  event.preventDefault();
  event.stopPropagation(); // a film has some of these keys, too: the tools have to know
}

function connect() {
  const on = (target, type, act, options) => target.addEventListener(type, act, options);
  const take = trying((event, files) => {
    document.body.classList.remove("over");
    if (!files.length) return null;
    event.preventDefault();
    return ask(files[0]);
  });
  films.connect(locate);
  on(document, "click", ({ target }) => {
    for (const one of $$(".chip[open]")) one.open = one.contains(target);
    const { act, value } = target.closest("[data-act]")?.dataset ?? {};
    if (act) trying(ACTS[act])(value);
  });
  on(document, "keydown", pressed, true);
  on(document, "dragover", (event) => event.preventDefault(document.body.classList.add("over")));
  on(document, "dragleave", ({ relatedTarget }) => relatedTarget ?? document.body.classList.remove("over"));
  on(document, "drop", (event) => event.preventDefault(take(event, event.dataTransfer.files)));
  on(document, "paste", (event) => take(event, event.clipboardData.files));
  on($("#file"), "change", (event) => {
    take(event, [...event.target.files]);
    event.target.value = "";
  });
  on($("#ask"), "submit", (event) => event.preventDefault(trying(ask)($("#query").value)));
  on($("#wrong"), "close", trying(report));
  on($("#single"), "change", ({ target }) => kept("keys", target.checked ? "on" : "off"));
  on($("#language"), "change", async ({ target }) => {
    await texts(target.value);
    draw();
  });
  on(window, "popstate", () => trying(search)(new URLSearchParams(location.search), { push: false }));
}

async function texts(wanted) {
  await load(wanted);
  films.translate();
  $("#language").value = language;
}

trying(async () => {
  document.documentElement.dataset.theme = kept("theme") ?? "";
  $("#single").checked = kept("keys") !== "off";
  await texts();
  connect();
  me = await call("api/session");
  $("#user").textContent = me.user === "local" ? "" : me.user;
  $("#to-it").hidden = !me.roles.includes("admin");
  for (const one of $$(".label")) one.hidden = !me.roles.includes("label");
  $("#nodes").append(...me.send_to.map((to) => h("button", { "data-act": "send", "data-value": to }, t("send", { to }))));
  await search(new URLSearchParams(location.search), { push: false });
})();
