// A page is loaded again when the server says that its figures have changed, and what is different
// is put in its place. Without this script, with the tab hidden or the button pressed, it stands.
"use strict";

const button = document.getElementById("pause");
const word = document.getElementById("live");
let source = null;
let seen = null;
let paused = sessionStorage.getItem("miniasgi.paused") === "yes";

function start() {
  if (source || paused || document.hidden) return;
  source = new EventSource(document.body.dataset.live);
  source.onopen = () => say("live");
  source.onerror = () => source && source.readyState === EventSource.CLOSED && say("lost");
  source.onmessage = (event) => {
    if (event.data === seen) return;
    seen = event.data;
    load();
  };
}

function stop() {
  if (source) source.close();
  source = null;
}

async function load() {
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok || paused) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-swap]")) {
    const fresh = next.getElementById(old.id);
    if (fresh && fresh.innerHTML !== old.innerHTML) swap(old, fresh);
  }
}

function swap(old, fresh) {
  const active = old.contains(document.activeElement) && document.activeElement;
  const open = [...old.querySelectorAll("details")].map((details) => details.open);
  const left = [...old.querySelectorAll(".scroll, pre")].map((box) => box.scrollLeft);
  old.innerHTML = fresh.innerHTML;
  old.querySelectorAll("details").forEach((details, i) => (details.open = open[i] || false));
  old.querySelectorAll(".scroll, pre").forEach((box, i) => (box.scrollLeft = left[i] || 0));
  const href = active && active.getAttribute("href");
  if (href) {
    const same = [...old.querySelectorAll("a")].find((link) => link.getAttribute("href") === href);
    if (same) same.focus({ preventScroll: true });
  }
}

function say(text) {
  word.textContent = paused ? "paused" : text;
  button.setAttribute("aria-pressed", String(paused));
  button.title = paused ? "Go on" : "Pause: the page stands still";
}

button.addEventListener("click", () => {
  paused = !paused;
  sessionStorage.setItem("miniasgi.paused", paused ? "yes" : "no");
  seen = null;
  say("live");
  paused ? stop() : start();
});
document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
addEventListener("pagehide", stop);
addEventListener("pageshow", start);
button.hidden = false;
say("live");
start();
