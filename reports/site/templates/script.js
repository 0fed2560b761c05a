"use strict";
// Everything here is an addition: without it the page shows the same. State is in the address: ?hide=pair~arm&sort=table~column~down&find=table~text
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (name, properties, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};
const query = new URLSearchParams(location.search);
const keep = (key, values) => {
  query.delete(key);
  for (const each of values) query.append(key, each);
  const text = query.toString();
  try { history.replaceState(null, "", `${location.pathname}${text && "?" + text}${location.hash}`); } catch { /* not allowed here: state is not kept */ }
};
const remember = (key, name, value) => {
  const others = query.getAll(key).filter(each => !each.startsWith(`${name}~`));
  keep(key, value === null ? others : [...others, `${name}~${value}`]);
};
const remembered = (key, name) => query.getAll(key).filter(each => each.startsWith(`${name}~`)).map(each => each.slice(name.length + 1));

// Seeds: the nearest line or dot is named, and drawn bold in every panel of its figure.
const near = 14;
const points = item => {
  if (item.tagName === "use") return [[+item.getAttribute("x"), +item.getAttribute("y")]];
  let x = 0, y = 0;
  const numbers = (item.getAttribute("d").match(/-?(\d+\.?\d*|\.\d+)/g) ?? []).map(Number);
  const found = numbers.flatMap((each, at) => at % 2 ? [[x += numbers[at - 1], y += each]] : []);
  return found.length === 2 && found[0][0] === found[1][0] ? [[x, (found[0][1] + found[1][1]) / 2]] : found; // a stroke is a dot
};
for (const figure of $$("figure")) { // single seeds of learning curves are there when the box "single seeds" is ticked
  const groups = $$("[data-seeds]", figure);
  if (!groups.length) continue;
  const svg = figure.querySelector("svg");
  const seeds = groups.flatMap((group, g) => {
    const names = group.dataset.seeds.split(" ");
    const items = $$("path, use", group).filter(each => !each.closest("defs"));
    return items.map((item, at) => ({ g, group, item, arm: group.dataset.arm, seed: names[at], points: points(item) }));
  });
  const named = make("p", { className: "named" });
  named.setAttribute("aria-live", "polite");
  svg.after(named);
  let chosen = null;
  const choose = seed => {
    if (seed?.item === chosen?.item && named.textContent) return;
    chosen = seed;
    for (const each of seeds) each.item.classList.toggle("hot", !!seed && each.arm === seed.arm && each.seed === seed.seed);
    named.textContent = seed ? `${seed.arm}, seed ${seed.seed}` : "";
  };
  const hidden = seed => !seed.group.getClientRects().length;
  svg.addEventListener("pointermove", event => {
    let best = null, least = near;
    const places = new Map();
    for (const seed of seeds) {
      if (hidden(seed)) continue;
      if (!places.has(seed.group)) {
        const matrix = seed.group.getScreenCTM();
        places.set(seed.group, [new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse()), matrix]);
      }
      const [at, matrix] = places.get(seed.group);
      const found = seed.points;
      let distance = Infinity;
      if (found.length === 1) distance = Math.hypot((found[0][0] - at.x) * matrix.a, (found[0][1] - at.y) * matrix.d);
      else {
        const next = found.findIndex(point => point[0] >= at.x);
        if (next > 0) {
          const [a, b] = [found[next - 1], found[next]];
          distance = Math.abs(a[1] + (b[1] - a[1]) * (at.x - a[0]) / (b[0] - a[0] || 1) - at.y) * matrix.d;
        }
      }
      if (distance < least) [best, least] = [seed, distance];
    }
    choose(best);
  });
  svg.addEventListener("pointerleave", () => choose(null));
  figure.tabIndex = 0;
  const first = seeds.filter(seed => seed.g === 0 || !seeds.some(each => each.g < seed.g && each.arm === seed.arm));
  figure.addEventListener("keydown", event => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.target !== figure || (!step && event.key !== "Escape")) return;
    event.preventDefault();
    const shown = first.filter(seed => !hidden(seed));
    const at = shown.findIndex(seed => seed.item === chosen?.item);
    choose(step ? shown[(at < 0 ? (step > 0 ? 0 : shown.length - 1) : at + step + shown.length) % shown.length] : null);
  });
}

// Arms: shown or hidden in all figures of the page, by the legend.
for (const list of $$(".legend[data-of]")) {
  const pair = list.dataset.of;
  const drawn = $$("[data-pair]").filter(each => each.dataset.pair === pair).flatMap(each => [...(each.dataset.arm ? [each] : []), ...$$("[data-arm]", each)]);
  for (const entry of $$("[data-key]", list)) {
    const arm = entry.dataset.key, name = `${pair}~${arm}`;
    const box = make("input", { type: "checkbox", checked: !query.getAll("hide").includes(name) });
    const show = () => drawn.forEach(each => { if (each.dataset.arm === arm) each.classList.toggle("off", !box.checked); });
    box.addEventListener("change", () => {
      show();
      const others = query.getAll("hide").filter(each => each !== name);
      keep("hide", box.checked ? others : [...others, name]);
    });
    show();
    const label = make("label", {}, box, " ", ...entry.childNodes);
    entry.append(label);
  }
}
const contents = document.querySelector(".contents > details");
if (contents && innerWidth < 1000) contents.open = false;

// Tables: sorted by a click on a head, filtered by a text.
const order = new Intl.Collator("en", { numeric: true });
const key = cell => {
  const number = parseFloat(cell.textContent.replaceAll(",", "").replace("−", "-"));
  return [Number.isNaN(number) ? null : number, cell.textContent];
};
const compare = (a, b) => a[0] !== null && b[0] !== null ? a[0] - b[0] : order.compare(a[1], b[1]);
for (const table of $$("section.table table:not(.facts)")) {
  const name = table.closest("section").id, body = table.tBodies[0], rows = [...body.rows];
  if (rows.length < 3) continue;
  const heads = [...table.tHead.rows[0].cells];
  const sort = (column, down) => {
    const sign = down ? -1 : 1;
    const keys = new Map(rows.map(row => [row, key(row.cells[column])]));
    body.append(...[...rows].sort((a, b) => sign * compare(keys.get(a), keys.get(b))));
    heads.forEach((head, at) => at === column ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort"));
  };
  heads.forEach((head, column) => {
    const button = make("button", { type: "button", textContent: head.textContent });
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      sort(column, down);
      remember("sort", name, `${column}~${down ? "down" : "up"}`);
    });
  });
  const [kept] = remembered("sort", name);
  if (kept) sort(Math.min(parseInt(kept) || 0, heads.length - 1), kept.endsWith("down"));
  if (rows.length < 8) continue;
  const find = make("input", { type: "search", placeholder: "filter rows", value: remembered("find", name)[0] ?? "" });
  find.setAttribute("aria-label", `Filter the rows of: ${table.parentElement.getAttribute("aria-label")}`);
  const filter = () => rows.forEach(row => { row.hidden = !row.textContent.toLowerCase().includes(find.value.toLowerCase()); });
  find.addEventListener("input", () => { filter(); remember("find", name, find.value || null); });
  filter();
  table.parentElement.before(find);
}

// A link into something folded unfolds it.
const unfold = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const inside = target?.querySelector(":scope > details");
  if (inside) inside.open = true;
  for (let each = target?.closest("details"); each; each = each.parentElement.closest("details")) each.open = true;
  if (target?.closest("details")) target.scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();
