/* Filters as chips with counts, a form that the server renders; each opens the values images have. */

import { $, call, renew } from "./page.js";

export const PATIENTS = ["one_per", "exclude_same_patient"];
export const NAMES = ["where", ...PATIENTS];
let drawn;

/* Draw the chips of an address. */
export async function draw(address) {
  drawn = address;
  const asked = new URLSearchParams([...address].filter(([name]) => NAMES.includes(name)));
  const made = await call(`api/filters?${asked}`, null, { html: true });
  if (drawn === address) renew($("#filters"), made.forms[0]);
  $("#filters").reset(); // what is checked is what the address says
}

/* What the chips ask for, as parameters; of some values each line is a condition. */
export const chosen = () => [...new FormData($("#filters"))].flatMap(([name, lines]) => lines.split(/\r?\n/).map((one) => [name, one])).filter(([, one]) => one);
