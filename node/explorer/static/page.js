// What the pages do beyond being read: colours, copying, ages that stay true, and parts that follow the node.
"use strict";

const ICONS = {
  copy: '<svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true"><rect x="5.5" y="5.5" width="8" height="8" rx="1.5"/><path d="M10.5 3.5v-.25A.75.75 0 0 0 9.75 2.5h-6.5a.75.75 0 0 0-.75.75v6.5c0 .41.34.75.75.75h.25"/></svg>',
  done: '<svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true"><path d="M3 8.5l3.2 3L13 4.5"/></svg>',
  dark: '<svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true"><path d="M16 11.5A6.5 6.5 0 0 1 8.5 4 6.5 6.5 0 1 0 16 11.5z"/></svg>',
  light: '<svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true"><circle cx="10" cy="10" r="3.5"/><path d="M10 2.5v1.5M10 16v1.5M2.5 10H4M16 10h1.5M4.7 4.7l1 1M14.3 14.3l1 1M4.7 15.3l1-1M14.3 5.7l1-1"/></svg>',
};

// Colours: as the system has them, until somebody chooses; the server knows the choice by a cookie.

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function addThemeButton() {
  const tools = document.getElementById("tools");
  if (!tools) return;
  const button = document.createElement("button");
  button.type = "button";
  const show = () => {
    button.innerHTML = isDark() ? ICONS.light : ICONS.dark;
    button.setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
    button.title = button.getAttribute("aria-label");
  };
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
    show();
  });
  show();
  tools.append(button);
}

// Copying

function addCopyButtons(root) {
  for (const place of root.querySelectorAll("[data-copy]")) {
    if (place.querySelector(":scope > .copy")) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.innerHTML = ICONS.copy;
    button.setAttribute("aria-label", `Copy ${place.dataset.what}`);
    button.title = `Copy ${place.dataset.what}`;
    place.append(button);
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest(".copy");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.parentElement.dataset.copy);
  } catch {
    return;
  }
  button.innerHTML = ICONS.done;
  button.classList.add("done");
  tell("Copied");
  setTimeout(() => {
    button.innerHTML = ICONS.copy;
    button.classList.remove("done");
  }, 1500);
});

// Ages

function span(seconds) {
  for (const [size, unit] of [[86400, "day"], [3600, "hour"], [60, "minute"]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}s`;
  }
  return `${seconds} second${seconds === 1 ? "" : "s"}`;
}

const ahead = Number(document.body.dataset.now) - Math.floor(Date.now() / 1000); // of our clock, the node's may be

function ageTimes() {
  const now = Math.floor(Date.now() / 1000) + ahead;
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const age = now - Number(time.dataset.ago);
    if (age < 0) continue; // a header's time may be ahead
    time.textContent = age < 2 ? "just now" : `${span(age)} ago`;
  }
}

// News for screen readers

function tell(text) {
  const place = document.getElementById("news");
  if (place) place.textContent = text;
}

// Parts that follow: [data-live="tip mempool"] is fetched again when one of these happens,
// [data-refresh="5"] so many seconds after it came.

const BEGINNING = ["tip", "mempool", "state"]; // with which a stream begins: how things are, no news
let stream = null;
let asking = false;
let again = false;
let refreshTimer = 0;

function busy(part) {
  if (part.querySelector("details[open]")) return true;
  const selection = getSelection();
  if (selection && !selection.isCollapsed && part.contains(selection.anchorNode)) return true;
  const focus = document.activeElement;
  return part.contains(focus) && focus.matches("input, select, textarea");
}

async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const other = fresh.getElementById(part.id);
        if (other && !busy(part)) replace(part, other);
      }
      ageTimes();
    }
  } catch {
    // the node is away: what is shown stays, the stream comes back by itself
  }
  asking = false;
  scheduleRefresh();
  if (again) {
    again = false;
    refresh();
  }
}

function replace(part, other) {
  const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const scrolled = [...part.querySelectorAll(".scroll, .strip")].map((box) => box.scrollLeft);
  part.replaceWith(other);
  addCopyButtons(other);
  other.querySelectorAll(".scroll, .strip").forEach((box, i) => { box.scrollLeft = scrolled[i] || 0; });
  if (focused) other.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function scheduleRefresh() {
  const part = document.querySelector("[data-refresh]");
  clearTimeout(refreshTimer);
  if (part) refreshTimer = setTimeout(refresh, 1000 * Number(part.dataset.refresh));
}

function follow() {
  const parts = [...document.querySelectorAll("[data-live]")];
  scheduleRefresh();
  const seen = new Map();
  let pause = 0;
  for (const kind of new Set(parts.flatMap((part) => part.dataset.live.split(" ")))) {
    listen(kind, (event) => {
      const before = seen.get(kind);
      seen.set(kind, event.data);
      if (before === event.data || (before === undefined && BEGINNING.includes(kind))) return;
      if (kind === "tip") tell(`New tip at height ${JSON.parse(event.data).height}`);
      clearTimeout(pause);
      pause = setTimeout(refresh, 150);
    });
  }
}

// The stream is open while the page is seen: a browser keeps six connections to one place, and tabs behind
// others would use them up.

const listeners = [];

function listen(kind, listener) {
  listeners.push([kind, listener]);
  stream?.addEventListener(kind, listener);
}

function openStream() {
  if (stream || document.hidden || !listeners.length || !window.EventSource) return;
  stream = new EventSource("/events");
  for (const [kind, listener] of listeners) stream.addEventListener(kind, listener);
}

function closeStream() {
  stream?.close();
  stream = null;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) closeStream();
  else {
    openStream();
    if (listeners.length) refresh();
  }
});
window.addEventListener("pagehide", closeStream);
window.addEventListener("pageshow", openStream);

// Keyboard: "/" goes to the search

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, textarea, select")) return;
  const field = document.getElementById("q");
  if (field) {
    event.preventDefault();
    field.focus();
    field.select();
  }
});

addThemeButton();
addCopyButtons(document);
ageTimes();
setInterval(ageTimes, 1000);
const current = document.querySelector(".top nav [aria-current]"); // on a phone, the list of pages is longer than wide
if (current) current.closest("ul").scrollLeft = current.offsetLeft - (innerWidth - current.offsetWidth) / 2;
for (const box of document.querySelectorAll('[data-scroll="end"]')) box.scrollLeft = box.scrollWidth;
follow();
document.addEventListener("DOMContentLoaded", openStream); // when all scripts have said what they listen to
