/* What is asked and answered. The address says it, by the names of the API's fields, with `roi` and `hit`. */

import * as films from "./films.js";
import * as filters from "./filters.js";
import * as hits from "./hits.js";
import { $, $$, call, changed, copy, h, keep, logout, t, theme } from "./page.js";

const ARROWS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -1e3, End: 1e3 }; // from hit to hit
let address = new URLSearchParams();
let answer;
let chosen; // place of the hit that is shown
let regions; // image id → what became of the region in it
const said = new Map(); // image id → whether it is relevant to the query
const running = {};

const asked = (from) => ["id", "sop", "study", "upload"].map((field) => from.get(field)).find(Boolean);
const name = () => (answer.query.upload ? answer.query.name : t("image", { id: answer.query.image_id }));
const hit = () => answer.hits[chosen];
const among = (from) => Math.max(50, from.get("top")); // of so many nearest codes

function tell(text, state = "") {
  $("#progress").className = state; // of what goes on: busy, done
  $("#progress span").textContent = text;
  $("progress").hidden = state !== "busy";
}

/* A function that says what was refused, and no longer what was before. */
const trying = (act) => async (...given) => {
  $("#problem").hidden = true;
  try {
    return await act(...given);
  } catch (error) {
    if (error.name === "AbortError") return;
    tell("");
    $("#filters").reset();
    if (error.status === undefined) throw error;
    $("#problem strong").textContent = error.title;
    $("#problem span").textContent = error.message;
    $("#problem").hidden = false;
  }
};
function newest(kind) {
  running[kind]?.abort();
  return (running[kind] = new AbortController()).signal;
}

/* A form of the parameters that the expression does not leave out, and of others. */
function form(from, leave, more = {}) {
  const made = new FormData();
  for (const [field, value] of [...from, ...Object.entries(more)]) if (!leave.test(field)) made.append(field, value);
  return made;
}

/* Search what an address says, or a file; `push`: as a new step of the browser's history. Where nothing can be found, of
   the same film the answer before stays, with its filters; of another one nothing does. */
async function search(next, { file, push = true } = {}) {
  const signal = newest("search"), other = file || asked(next) !== asked(address);
  let found, refused;
  if (file || asked(next)) {
    tell(t(file ? "sending" : "searching", { name: file?.name }), "busy");
    const more = { candidates: among(next), ...(file && { file }) };
    const made = await call("api/answer", form(next, /^(hit|roi)$/, more), { signal, html: true }).catch((error) => {
      if (error.name === "AbortError" || !other) throw error;
      refused = error;
      // the filters are not seen now, and this one can hold of no film of an unknown patient
      if (error.detail.startsWith("exclude_same_patient")) next.delete("exclude_same_patient");
    });
    found = made && hits.take(made);
  }
  if (found && file) next.set(found.query.upload ? "upload" : "id", found.query.upload ?? found.query.image_id);
  if (other) said.clear();
  for (const [id, yes] of (!push && history.state) || []) said.set(id, yes);
  for (const [field, id] of next) if (field.endsWith("relevant")) said.set(+id, field === "relevant");
  answer = found;
  address = next;
  remember(push);
  draw();
  if (refused) throw refused;
}

/* Ask for a file, or an image by number, SOP Instance UID or study. Conditions of the film before are not this one's. */
async function ask(what) {
  const next = new URLSearchParams([...address].filter(([field]) => filters.PATIENTS.includes(field)));
  if (what instanceof File) return search(next, { file: what });
  const text = what.trim();
  if (text) return search(changed(next, [], [[text.includes(".") ? "sop" : "id", text]]));
}

const here = () => changed(new URLSearchParams(location.search), ["lang"]);

function remember(push) {
  history[push ? "pushState" : "replaceState"]([...said], "", asked(address) ? `?${address}` : location.pathname);
}

function draw() {
  $("#start").hidden = Boolean(answer);
  $("#answer").hidden = !answer;
  document.title = answer ? `${name()} – radretrieval` : "radretrieval";
  $("#query").value = address.has("upload") ? "" : asked(address) ?? "";
  if (!answer) return tell("");
  const { query, returned: n, requested } = answer, values = { n, name: name() };
  tell(t("hitsReady", values));
  $("#hits-title").textContent = t("hitsTitle", values);
  $("[data-act=more]").hidden = n < requested;
  trying(filters.draw)(address);
  films.show(0, query.film, t("queryLabel", values), [h("b", {}, t("queryFilm")), name(), " ", query.irma_code]);
  films.show(1);
  $("#detail").hidden = !n;
  choose(Math.max(answer.hits.findIndex(({ rank }) => rank === +address.get("hit")), 0));
  if (n && $("#ask").contains(document.activeElement)) hits.focus(chosen);
  locate(address.get("roi")?.match(/\d+/g)?.map(Number));
}

const choose = trying(async (index) => {
  const signal = newest("hit"), one = answer.hits[(chosen = +index)];
  if (!one) return;
  const { image_id: id, rank, study_instance_uid: study } = one, caption = [h("b", {}, t("rank", { rank })), t("image", { id })];
  address.set("hit", rank);
  remember();
  hits.mark(chosen);
  update();
  const { film, problem, sop_instance_uid: sop } = await call(`api/images/${id}`, null, { signal }).catch((error) => {
    if (!signal.aborted) films.show(1, null, "", caption); // no other hit's film
    throw error;
  });
  films.show(1, film, t("hitLabel", { rank, id }), [...caption, " ", problem]);
  films.found(regions?.get(id)?.roi);
  const uids = { StudyInstanceUID: study, SOPInstanceUID: sop };
  const link = $("#study"), { url } = link.dataset;
  link.hidden = !url || !study;
  link.href = url.replace(/\{(\w+)\}/g, (_, uid) => encodeURIComponent(uids[uid] ?? ""));
});

const locate = trying(async (sides = []) => {
  const signal = newest("region");
  films.region(sides);
  address.delete("roi");
  if (sides.length) address.set("roi", sides);
  remember();
  regions = null;
  update();
  if (!sides.length) return;
  tell(t("finding"), "busy");
  const content = form(address, /^(?!(id|sop|study|upload|roi)$)/);
  for (const { image_id: id } of answer.hits) content.append("images", id);
  const found = (await call("api/region", content, { signal })).regions;
  regions = new Map(found.map((one) => [one.image_id, one]));
  update();
  tell(t("regionReady", { found: found.filter(({ roi }) => roi?.found).length, n: found.length }));
});

function update() {
  hits.update(answer.hits, said, regions);
  if (!hit()) return;
  const { image_id: id } = hit();
  films.found(regions?.get(id)?.roi);
  for (const button of $$("[data-act=judge]")) button.ariaPressed = said.get(id) === (button.dataset.value === "yes");
  $("[data-act=refine]").textContent = t("refineWith", { n: said.size });
  $("[data-act=refine]").disabled = !said.size;
}

async function judge(value) {
  const { image_id: id, rank, cnnc_distance, rbc_distance } = hit(), { query, encoder_id } = answer;
  const yes = value === "yes", relevant = said.get(id) === yes ? null : yes; // once more takes it back
  const asks = query.image_id == null ? { upload: query.upload } : { id: query.image_id };
  await call("api/feedback", { ...asks, hit: id, relevant, rank, encoder_id, cnnc_distance, rbc_distance });
  if (relevant === null) said.delete(id);
  else said.set(id, relevant);
  remember();
  update();
  tell(t("said"));
}

function wrong() {
  $("#wrong form").reset();
  $("#wrong-title").textContent = t("wrongTitle", { id: hit().image_id });
  $("#wrong").showModal();
}

async function report() {
  const { image_id: id } = hit(), given = Object.fromEntries(new FormData($("#wrong form")));
  if ($("#wrong").returnValue !== "send") return;
  if (!Object.values(given).join("").trim()) return tell(t("wrongNone")); // nothing would take an earlier report back
  await call("api/labels/reports", { image: id, ...given });
  tell(t("wrongSent", { id }), "done");
}

/* Save the answer as a file, KIND.SUFFIX; or send its report to a node. */
async function output(file, to) {
  tell(t("saving"), "busy");
  const path = to ? "api/send" : `api/outputs/${file.split(".")[0]}`;
  const made = await call(path, form(address, /^hit$/, { candidates: among(address), ...(to && { to }) }), { file });
  if (to) return tell([t("sent", { to }), ...made.remarks].join("; "), "done");
  const href = URL.createObjectURL(made);
  h("a", { href, download: `radretrieval-${file}` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1e4);
  tell("");
}

const ACTS = {
  choose, judge, wrong, output, theme, logout, mode: films.mode, tool: films.tool, link: films.toggleLink, compare: films.toggleCompare,
  send: (to) => confirm(t("sendAsk", { to, name: name() })) && output("", to), // into a patient's record
  noregion: () => locate(),
  print: () => print(),
  full: () => (document.fullscreenElement ? document.exitFullscreen() : $("#films").requestFullscreen()),
  help: () => $("#help").showModal(),
  close: () => ($("#problem").hidden = true),
  from: () => ask(`${hit().image_id}`),
  clear() {
    $("#filters summary").focus(); // the button goes
    return search(changed(address, filters.NAMES));
  },
  more: () => search(changed(address, ["top"], [["top", answer.requested + 10]])),
  refine: () => search(changed(address, ["relevant", "not_relevant", "hit"], [...said].map(([id, yes]) => [yes ? "relevant" : "not_relevant", id]))),
  copy: async () => tell(t((await copy(location.href)) ? (address.has("upload") ? "copiedUpload" : "copied") : "notCopied")),
};

/* Single keys click what names them, unless something is typed or the reader has turned them off. */
function pressed(event) {
  const { key, target } = event, onHit = target.matches(".hit"), step = (onHit && ARROWS[key]) || { j: 1, k: -1 }[key];
  const named = $(`[data-key="${CSS.escape(key.toLowerCase())}"]`);
  if (key === "Escape") for (const one of $$(".chip[open]")) one.open = $("summary", one).focus();
  if (target.closest("input:not([type=checkbox]), textarea, select, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!$("#single").checked && !ARROWS[key]) return;
  if (step && answer) {
    choose(hits.neighbour(chosen, step));
    if (onHit) hits.focus(chosen);
  } else if (named && (answer || !named.closest("#answer")) && !named.hidden) {
    if (named.matches("summary, #query")) named.focus();
    key === "/" ? named.select() : named.click(); // what is typed takes the place of what was asked
  } else return;
  event.preventDefault();
  event.stopPropagation(); // a film has some of these keys, too: the tools have to know
}

function connect() {
  const on = (target, ...given) => target.addEventListener(...given);
  const over = (yes) => document.body.classList.toggle("over", yes);
  const take = trying(([file]) => file && ask(file));
  films.connect(locate);
  on(document, "click", ({ target }) => {
    const { act, value } = target.closest("[data-act]")?.dataset ?? {};
    for (const one of $$(".chip[open]")) one.open = one.contains(target);
    if (act) trying(ACTS[act])(value);
  });
  on(document, "keydown", pressed, true);
  on(document, "error", ({ target }) => (target.hidden = true), true); // a thumbnail that cannot be made
  on(document, "dragover", (event) => event.preventDefault(over(true)));
  on(document, "dragleave", ({ relatedTarget }) => relatedTarget ?? over(false));
  on(document, "drop", (event) => event.preventDefault(over(false), take(event.dataTransfer.files)));
  on(document, "paste", ({ clipboardData }) => take(clipboardData.files));
  on($("#file"), "change", ({ target }) => {
    take(target.files);
    target.value = "";
  });
  on($("#ask"), "submit", (event) => event.preventDefault(trying(ask)($("#query").value)));
  on($("#wrong"), "close", trying(report));
  on($("#single"), "change", ({ target }) => keep("keys", target.checked ? "on" : "off"));
  on(document, "change", ({ target }) => target.form?.id === "filters" && trying(search)(changed(address, filters.NAMES, filters.chosen())));
  on(window, "popstate", () => trying(search)(here(), { push: false }));
}

connect();
trying(search)(here(), { push: false });
