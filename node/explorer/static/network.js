// The local network's page: the graph moves with what the nodes tell, orders go out without leaving the page.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const HOP = 550; // milliseconds that a block is shown on its way from one node to the next
const TX_HOP = 450;
const PATIENCE = 4;
const MOST_SPARKS = 60;
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

let state = { nodes: [], links: [] };
const arrived = new Map(); // block hash or txid -> Map(node -> when it is shown to be there)
let sparks = 0;

function place(node) {
  const group = document.getElementById(`node-${node}`);
  const match = group && /translate\(([-\d.]+) ([-\d.]+)\)/.exec(group.getAttribute("transform"));
  return match ? { x: Number(match[1]), y: Number(match[2]) } : null;
}

function neighbours(node) {
  return state.links
    .filter((link) => link.state === "up" && (link.dialer === node || link.listener === node))
    .map((link) => (link.dialer === node ? link.listener : link.dialer));
}

function travel(from, to, kind, start, length) {
  const layer = document.getElementById("travelling");
  const a = place(from);
  const b = place(to);
  if (!layer || !a || !b || still || sparks >= MOST_SPARKS) return;
  sparks += 1;
  setTimeout(() => {
    const spark = document.createElementNS(SVG, "circle");
    spark.setAttribute("class", `spark ${kind}-spark`);
    spark.setAttribute("r", kind === "block" ? 7 : 4);
    layer.append(spark);
    const wire = document.getElementById(`wire-${from}-${to}`) || document.getElementById(`wire-${to}-${from}`);
    if (kind === "block") wire?.classList.add("busy");
    const motion = spark.animate(
      [{ transform: `translate(${a.x}px, ${a.y}px)` }, { transform: `translate(${b.x}px, ${b.y}px)` }],
      { duration: length, easing: "ease-in-out", fill: "forwards" },
    );
    motion.onfinish = () => {
      spark.remove();
      wire?.classList.remove("busy");
      sparks -= 1;
    };
  }, Math.max(0, start - performance.now()));
}

// Something is at a node: it came over a link from one that had it, the one that is shown to have had it first.
// Nodes tell by streams of their own: who told before any neighbour of his waits a little for them.
function arrive(node, what, kind, length, patience = PATIENCE) {
  const now = performance.now();
  if (!arrived.has(what)) {
    arrived.set(what, new Map());
    if (arrived.size > 200) arrived.delete(arrived.keys().next().value);
  }
  const there = arrived.get(what);
  if (there.has(node)) return;
  const from = neighbours(node).filter((other) => there.has(other)).sort((a, b) => there.get(a) - there.get(b))[0];
  if (!from && there.size && patience) {
    setTimeout(arrive, 50, node, what, kind, length, patience - 1);
    return;
  }
  if (!from) {
    there.set(node, now);
    if (kind === "block") flash(node, 0);
    return;
  }
  const start = Math.max(now, there.get(from));
  travel(from, node, kind, start, length);
  there.set(node, start + (still ? 0 : length));
  if (kind === "block") flash(node, there.get(node) - now);
}

function showNode(row, delay) {
  const show = () => {
    const group = document.getElementById(`node-${row.name}`);
    if (!group) return;
    const kind = !row.running ? "stopped" : row.colour === null ? "tip-none" : `tip-${row.colour}`;
    group.setAttribute("class", `node ${row.role} ${kind}`);
    group.querySelector(".height").textContent = row.running && row.height !== null ? row.height : "–";
    group.querySelector("title").textContent =
      `${row.name} (${row.role}): ${row.running ? `height ${row.height}` : "stopped"}`;
  };
  if (delay > 0) setTimeout(show, delay);
  else show();
}

function showState(fresh) {
  state = fresh;
  const now = performance.now();
  for (const row of fresh.nodes) {
    const there = row.tip && arrived.get(row.tip);
    showNode(row, there && there.has(row.name) ? there.get(row.name) - now : 0);
  }
  for (const link of fresh.links) {
    const wire = document.getElementById(`wire-${link.dialer}-${link.listener}`);
    if (!wire) continue;
    const busy = wire.classList.contains("busy");
    wire.setAttribute("class", `wire ${link.state}${busy ? " busy" : ""}`);
    document.getElementById(`delay-${link.dialer}-${link.listener}`).textContent = link.delay
      ? `${Math.round(link.delay * 1000)} ms`
      : "";
    wire.querySelector("title").textContent = `${link.dialer} dials ${link.listener}: ${link.state}`;
  }
}

function flash(node, delay) {
  if (still) return;
  setTimeout(() => {
    document.getElementById(`node-${node}`)?.querySelector(".halo")?.animate(
      [{ opacity: 0.9, transform: "scale(0.9)" }, { opacity: 0, transform: "scale(1.45)" }],
      { duration: 700, easing: "ease-out" },
    );
  }, delay);
}

function watch() {
  listen("state", (event) => showState(JSON.parse(event.data)));
  listen("said", (event) => {
    const { text, well } = JSON.parse(event.data);
    if (text) tell(well ? text : `No: ${text}`);
  });
  listen("block", (event) => {
    const { node, hash } = JSON.parse(event.data);
    arrive(node, hash, "block", HOP);
  });
  listen("txs", (event) => {
    const { node, txids } = JSON.parse(event.data);
    for (const txid of txids) arrive(node, txid, "tx", TX_HOP);
  });
}

// Orders: the page stays; without this script the forms work as forms.

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-order]");
  if (!form) return;
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  form.setAttribute("aria-busy", "true");
  try {
    await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  } catch {
    tell("The network does not answer");
  }
  button.disabled = false;
  form.removeAttribute("aria-busy");
  button.focus();
});

if (document.getElementById("graph")) watch();
