/* The page of IT: it shows api/admin, and asks again as long as somebody can see it. */

import { ago, begin, fill, problem, share } from "./desk.js";
import { $, call, copy, h, number, t } from "./page.js";

const EVERY = 10_000;
const LONGEST = 300_000; // between requests that fail
const PAGE = 20;
let state, listed, timer, wait = EVERY;

async function refresh() {
  try {
    state = await call("api/admin");
    wait = EVERY;
    problem();
    draw();
  } catch (error) {
    wait = Math.min(2 * wait, LONGEST);
    problem(error);
  }
  later();
}

function later() {
  clearTimeout(timer);
  if (!document.hidden && $("#live").checked) timer = setTimeout(refresh, wait);
}

function size(bytes) {
  const step = Math.floor(Math.log2(Math.max(bytes, 1)) / 10);
  return `${number(bytes / 1024 ** step, step > 1 ? 1 : 0)} ${["B", "KiB", "MiB", "GiB", "TiB"][step]}`;
}

function draw() {
  if (!state) return;
  const { disk, findings, images, versions } = state;
  const since = (moment) => moment && [t("itSince"), " ", ago(moment)];
  const room = (free, whole) => (free == null ? t("itUnseen") : [t("itFree", { free: size(free), of: size(whole) }),
    h("meter", { max: whole, low: 0.8 * whole, high: 0.95 * whole, optimum: 0, value: whole - free, ariaLabel: t("itFull") })]);
  $("#as-of").replaceChildren(t("itAsOf"), " ", ago(state.as_of));
  $("#findings").replaceChildren(...findings.map(finding), findings.length ? "" : h("li", { className: "well" }, t("itWell")));
  tiles("#counts", [
    ["itImages", number(images.total), t("itLastDay", { n: number(images.last_day) })],
    ["itCoded", number(images.coded), images.total && share(images.coded / images.total)],
    ["itPending", number(images.pending), since(images.oldest_pending)],
    ["itInbox", number(state.inbox), since(state.oldest_arrival)],
    ["itFailed", number(state.failed)],
    ["itGone", number(images.gone)],
    ["itDatabase", size(disk.database), room(disk.database_free, disk.database_disk)],
    ["itStore", disk.store == null ? "…" : (disk.store_exact ? "" : "≈ ") + size(disk.store), room(disk.store_free, disk.store_disk)],
  ]);
  tiles("#versions", Object.entries(versions).map(([name, value]) => [`it_${name}`, CELLS.word(value)]));
  for (const name of ["origins", "pulls", "failures", "programs", "encoders"]) {
    $(`#${name}`).closest("section").hidden = !state[name].length;
    fill($(`#${name}`), state[name], CELLS);
  }
  draw_list();
}

const tiles = (list, told) => $(list).replaceChildren(...told.map(([key, value, more]) =>
  h("div", {}, h("dt", {}, t(key)), h("dd", {}, h("strong", {}, value), more))));

const CELLS = {
  origin: (origin) => origin ?? t("itFound"),
  word: (value) => t(`it_${value}`).replace("it_", ""),
  list: (reason) => h("button", { id: `list ${reason}`, ariaLabel: `${t("itShow")}: ${reason}`, onclick: () => list(reason, 0) }, t("itShow")),
};

/* A finding in the reader's language, where it has a text; else as the command line says it. */
function finding({ kind, count, text, command }) {
  const key = `it_${kind}`, said = t(key, { n: number(count) });
  return h("li", {}, h("span", {}, said === key ? text : said), command && [h("code", {}, command),
    h("button", { ariaLabel: `${t("itCopy")}: ${command}`, onclick: () => copy(command) }, t("itCopy"))]);
}

async function list(reason, offset) {
  listed = { reason, offset, ...(await call(`api/admin/failures?${new URLSearchParams({ reason, offset, limit: PAGE })}`).catch(problem)) };
  draw_list();
  $("#listed").focus();
}

function draw_list() {
  $("#list").hidden = !listed?.failures;
  if (!listed?.failures) return;
  const { failures, next, offset, reason } = listed;
  $("#listed").textContent = t("itListed", { from: offset + 1, to: offset + failures.length, reason });
  fill($("#files"), failures, CELLS);
  $("#before").disabled = !offset;
  $("#after").disabled = !next;
}

document.onvisibilitychange = () => (document.hidden ? later() : refresh());
$("#live").onchange = ({ target }) => (target.checked ? refresh() : later());
$("#now").onclick = refresh;
$("#before").onclick = () => list(listed.reason, listed.offset - PAGE);
$("#after").onclick = () => list(listed.reason, listed.next);
begin(draw).then(refresh, problem);
