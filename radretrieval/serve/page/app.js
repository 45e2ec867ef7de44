/* The page: what is asked and answered. The address says it, by the names of the API's fields, with `roi` and `hit`. */

import * as films from "./films.js";
import * as filters from "./filters.js";
import * as hits from "./hits.js";
import { $, Problem, call, copy, h, kept, language, load, number, percent, t } from "./page.js";

const QUERY = ["id", "sop", "study", "upload"]; // one of them is the query
const NARROWS = ["where", "one_per", "exclude_same_patient", "top", "relevant", "not_relevant"];
let address = new URLSearchParams();
let answer;
let chosen; // place of the hit that is shown
let regions; // image id → what became of the region in it
let me = { roles: [], send_to: [] };
let searching, locating, showing; // AbortControllers
const words = {}; // of IRMA codes
const said = new Map(); // image id → whether it is relevant to the query

const name = () => answer.query.name ?? t("image", { id: answer.query.image_id });
const asked = (one) => QUERY.map((field) => one.get(field)).find(Boolean);

/* What goes on (share: of an upload; undefined: nothing), and what went wrong. */
function tell(text, share) {
  $("#progress span").textContent = text;
  $("#progress").classList.toggle("busy", share !== undefined);
  if (share < 1) $("progress").value = share;
  else $("progress").removeAttribute("value");
}
function fail(error) {
  if (error.name === "AbortError") return;
  tell("");
  if (!(error instanceof Problem)) throw error;
  $("#problem strong").textContent = error.title;
  $("#problem span").textContent = error.status === 404 && address.has("upload") ? t("uploadGone") : error.message;
  $("#problem").hidden = false;
}
const trying = (act) => (...given) => Promise.resolve(act(...given)).catch(fail);
const again = (one) => {
  one?.abort();
  return new AbortController();
};

function form(from, fields, more = {}) {
  const made = new FormData();
  for (const [field, value] of [...from, ...Object.entries(more)]) {
    if (field in more || QUERY.includes(field) || fields.includes(field)) made.append(field, value);
  }
  return made;
}

/* Search what an address says, or a file; `push`: as a new step of the browser's history. */
async function search(next, { file, push } = {}) {
  const { signal } = (searching = again(searching));
  $("#problem").hidden = true;
  if (file || asked(next)) {
    tell(t("searching"), 1);
    const sent = (share) => tell(t(share < 1 ? "sending" : "searching", { name: file.name }), share);
    const more = { explain: true, ...(next.get("top") > 50 && { candidates: next.get("top") }), ...(file && { file }) };
    const found = await call("api/search", form(next, NARROWS, more), { signal, sent: file && sent });
    const codes = found.hits.map((one) => ["code", one.irma_code]).filter(([, code]) => code && !words[code]);
    if (codes.length) Object.assign(words, await call(`api/codes?${new URLSearchParams(codes)}`, null, { signal }));
    const { image_id: id, upload } = found.query;
    if (file) next.set(id == null ? "upload" : "id", id ?? upload);
    if (asked(next) !== asked(address)) said.clear();
    for (const [field, relevant] of [["relevant", true], ["not_relevant", false]]) for (const one of next.getAll(field)) said.set(+one, relevant);
    answer = found;
  } else answer = null;
  address = next;
  remember(push);
  draw();
}
const go = trying(search);

/* Ask for a file, or for an image by its number, SOP Instance UID or study; the filters stay. */
const ask = trying(async (what) => {
  const next = filters.only(address);
  if (what instanceof File) return search(next, { file: what, push: true });
  const [, field, text] = what.trim().match(/^(?:(id|sop|study)\s*[:=]\s*)?(.*)$/is);
  if (!text) return null;
  const fields = field ? [field.toLowerCase()] : text.includes(".") ? ["sop", "study"] : ["id"];
  for (const [place, one] of fields.entries()) {
    const asks = new URLSearchParams(next);
    asks.set(one, text);
    try {
      return await search(asks, { push: true });
    } catch (error) {
      if (error.status !== 404 || place === fields.length - 1) throw error; // a UID may be that of a study
    }
  }
});

function remember(push) {
  history[push ? "pushState" : "replaceState"](null, "", `?${address}`.replace(/^\?$/, location.pathname));
}

function draw() {
  $("#start").hidden = Boolean(answer);
  $("#answer").hidden = !answer;
  document.title = answer ? `${name()} – radretrieval` : "radretrieval";
  $("#query").value = ["id", "sop", "study"].map((field) => address.get(field)).find(Boolean) ?? "";
  if (!answer) return tell("");
  const { film, irma_code: code } = answer.query, label = t("queryLabel", { name: name() });
  tell(t("hitsReady", { n: answer.returned, name: name() }));
  $("#notes").replaceChildren(...notes());
  $("#hits-title").textContent = t("hitsTitle", { n: answer.returned });
  $("[data-act=more]").hidden = answer.returned < answer.requested;
  hits.fill(answer.hits, words, choose);
  hits.judged(answer.hits, said);
  filters.draw(address, (next) => go(next, { push: true }));
  films.show(0, film, label, [h("b", {}, t("queryFilm")), name(), " ", code ?? ""]).catch(() => {}); // the film says why
  films.show(1, null);
  $("#detail").hidden = !answer.returned;
  regions = null;
  const [x, y, width, height] = address.get("roi")?.split(",").map(Number) ?? [];
  locate(height ? { x, y, width, height } : null);
  choose(Math.max(answer.hits.findIndex(({ rank }) => rank === +address.get("hit")), 0));
}

/* What has to be known before the hits are looked at. */
function notes() {
  const { hidden, matched, pending, returned, requested, query_problems: problems } = answer;
  const narrowed = hidden != null;
  const why = () => t("nothingWhy", { bits: number(answer.nearest_distance), percent: percent(answer.farther_than) });
  return [
    [answer.nothing_similar, "warn", () => [h("strong", {}, t(narrowed ? "nothingFiltered" : "nothing")), why()]],
    [answer.query_flat, "warn", () => t("flat")],
    [narrowed, "", () => t(!hidden ? "hiddenNone" : answer.hidden_at_least ? "hiddenLeast" : "hidden", { n: number(hidden), matched: number(matched) })],
    [returned < requested, "", () => t("fewer", { returned, requested })],
    [pending, "", () => t("pending", { n: number(pending) })],
    [answer.path === "hnsw", "", () => t("approximate")],
    [problems.length, "", () => t("problems", { text: problems.join("; ") })],
  ].filter(([holds]) => holds).map(([, className, text]) => h("p", { className }, text()));
}

/* Show a hit beside the query. */
const choose = trying(async (index) => {
  const one = answer.hits[index];
  if (!one) return;
  const { signal } = (showing = again(showing));
  chosen = index;
  address.set("hit", one.rank);
  remember();
  hits.mark(index);
  panel();
  const caption = [h("b", {}, t("rank", { rank: one.rank })), t("image", { id: one.image_id })];
  try {
    const { film, sop_instance_uid: sop } = await call(`api/images/${one.image_id}`, null, { signal });
    link(one, sop);
    const shown = films.show(1, film, t("hitLabel", { rank: one.rank, id: one.image_id }), caption);
    films.found(regions?.get(one.image_id)?.roi);
    await shown.catch(() => {}); // the film says why
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    films.show(1, null, "", [...caption, error.message]);
  }
});

function panel() {
  const one = answer.hits[chosen];
  if (!one) return;
  hits.panel(one, words[one.irma_code], regions?.get(one.image_id));
  for (const button of document.querySelectorAll("[data-act=judge]")) button.ariaPressed = said.get(one.image_id) === Boolean(button.dataset.value);
  $("[data-act=refine]").textContent = t("refineWith", { n: said.size });
  $("[data-act=refine]").hidden = !said.size || !me.roles.includes("label");
}

/* The site's viewer at the study of a hit. */
function link({ study_instance_uid: study }, sop) {
  const uids = { StudyInstanceUID: study, SOPInstanceUID: sop };
  $("#study").hidden = !me.viewer_url || !study;
  $("#study").href = me.viewer_url?.replace(/\{(\w+)\}/g, (_, uid) => encodeURIComponent(uids[uid] ?? "")) ?? "";
}

/* Find the region in every hit. */
const locate = trying(async (box) => {
  const { signal } = (locating = again(locating));
  const region = box && Object.fromEntries(["x", "y", "width", "height"].map((side) => [side, Math.round(box[side])]));
  films.region(region);
  if (region) address.set("roi", Object.values(region).join());
  else address.delete("roi");
  remember();
  if (!region) return located(null);
  const content = form(address, ["roi"]);
  for (const { image_id: id } of answer.hits) content.append("images", id);
  tell(t("finding"), 1);
  const found = (await call("api/region", content, { signal })).regions;
  located(new Map(found.map((one) => [one.image_id, one])));
  tell(t("regionReady", { found: found.filter(({ roi }) => roi?.found).length, n: found.length }));
});
function located(found) {
  regions = found;
  hits.regions(answer.hits, found);
  films.found(found?.get(answer.hits[chosen]?.image_id)?.roi);
  panel();
}

async function judge(value) {
  const one = answer.hits[chosen], { image_id: id, upload } = answer.query;
  const relevant = said.get(one.image_id) === Boolean(value) ? null : Boolean(value); // once more takes it back
  await call("api/feedback", { id, upload, hit: one.image_id, relevant, rank: one.rank, encoder_id: answer.encoder_id });
  if (relevant === null) said.delete(one.image_id);
  else said.set(one.image_id, relevant);
  hits.judged(answer.hits, said);
  panel();
  tell(t("said"));
}

function refine() {
  const next = new URLSearchParams([...address].filter(([field]) => !/relevant|hit/.test(field)));
  for (const [id, relevant] of said) next.append(relevant ? "relevant" : "not_relevant", id);
  return search(next, { push: true });
}

function wrong() {
  $("#wrong form").reset();
  $("#wrong-title").textContent = t("wrongTitle", { id: answer.hits[chosen].image_id });
  $("#wrong").showModal();
}
async function report() {
  const { expected, remark } = $("#wrong form").elements, id = answer.hits[chosen].image_id;
  if ($("#wrong").returnValue !== "send") return;
  await call("api/labels/reports", { image: id, expected: expected.value || null, remark: remark.value || null });
  tell(t("wrongSent", { id }));
}

/* A file of the answer: KIND.SUFFIX; or the report to a node. */
async function output(value) {
  const [kind] = value.split(".");
  tell(t("saving"), 1);
  const blob = await call(`api/outputs/${kind}`, form(address, [...NARROWS, "roi"]), { file: true });
  const href = URL.createObjectURL(blob);
  h("a", { href, download: `radretrieval-${value}` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1e4);
  tell("");
}
async function send(to) {
  tell(t("saving"), 1);
  await call("api/send", form(address, [...NARROWS, "roi"], { to }));
  tell(t("sent", { to }));
}

function help() {
  const key = (name, text) => h("li", {}, h("kbd", {}, name), text);
  const keys = [...document.querySelectorAll("[data-key]")].map((one) => key(one.dataset.key.toUpperCase(), one.ariaLabel ?? one.textContent));
  const [ours, film] = document.querySelectorAll("#help ul");
  ours.replaceChildren(key("J, K", t("keyHits")), ...keys);
  film.replaceChildren(...Object.entries(t("filmKeys")).map(([name, text]) => key(name, text)));
  $("#help").showModal();
}

const ACTS = {
  judge, refine, wrong, output, send, help, mode: films.mode, tool: films.tool, link: films.toggleLink, compare: films.toggleCompare,
  full: films.full, noregion: () => locate(null), print: () => print(), close: () => ($("#problem").hidden = true),
  from: () => ask(`${answer.hits[chosen].image_id}`),
  more: () => search(new URLSearchParams([...address].filter(([field]) => field !== "top").concat([["top", answer.requested + 10]])), { push: true }),
  copy: async () => tell(t((await copy(location.href)) ? (address.has("upload") ? "copiedUpload" : "copied") : "notCopied")),
  theme: () => {
    const light = getComputedStyle(document.documentElement).colorScheme === "light";
    kept("theme", (document.documentElement.dataset.theme = light ? "dark" : "light"));
  },
};

/* Single keys click what names them; not while something is typed, nor where the reader has turned them off. */
function pressed(event) {
  const key = event.key.toLowerCase(), { target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || !$("#single").checked || target.closest("input:not([type=checkbox]), textarea, select, dialog")) return;
  const step = { j: 1, k: -1 }[key], named = $(`[data-key="${CSS.escape(key)}"]`);
  if (step && answer) {
    const next = hits.neighbour(chosen, step);
    choose(next);
    if (target.matches(".hit")) hits.focus(next);
  } else if (key === "/") named.focus();
  else if (named && (answer || !named.closest("#answer")) && !named.hidden) named.click();
  else return;
  event.preventDefault();
  event.stopPropagation(); // a film has some of these keys, too: the tools have to know
}

function connect() {
  const on = (target, type, act, options) => target.addEventListener(type, act, options);
  const over = (on) => document.body.classList.toggle("over", on);
  const dropped = (event, files) => {
    over(false);
    if (!files.length) return;
    event.preventDefault();
    ask(files[0]);
  };
  films.connect(locate);
  on(document, "click", ({ target }) => {
    const { act, value } = target.closest("[data-act]")?.dataset ?? {};
    if (act) trying(ACTS[act])(value);
  });
  on(document, "keydown", pressed, true);
  on(document, "dragover", (event) => event.preventDefault(over(true)));
  on(document, "dragleave", ({ relatedTarget }) => relatedTarget || over(false));
  on(document, "drop", (event) => event.preventDefault(dropped(event, event.dataTransfer.files)));
  on(document, "paste", (event) => dropped(event, event.clipboardData.files));
  on($("#file"), "change", (event) => {
    dropped(event, [...event.target.files]);
    event.target.value = "";
  });
  on($("#ask"), "submit", (event) => event.preventDefault(ask($("#query").value)));
  on($("#wrong"), "close", trying(report));
  on($("#single"), "change", ({ target }) => kept("keys", target.checked ? "on" : "off"));
  on($("#language"), "change", async ({ target }) => {
    await load(target.value);
    draw();
  });
  on(window, "popstate", () => go(new URLSearchParams(location.search)));
}

async function start() {
  await load();
  $("#language").value = language;
  $("#single").checked = kept("keys") !== "off";
  connect();
  me = await call("api/session");
  $("#user").textContent = me.user === "local" ? "" : me.user;
  $("#to-it").hidden = !me.roles.includes("admin");
  for (const one of document.querySelectorAll(".label")) one.hidden = !me.roles.includes("label");
  $("#nodes").append(...me.send_to.map((to) => h("button", { type: "button", "data-act": "send", "data-value": to }, t("send", { to }))));
  await search(new URLSearchParams(location.search));
}

document.documentElement.dataset.theme = kept("theme") ?? "";
trying(start)();
