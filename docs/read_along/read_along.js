// Passing a cue lights its lines in the second column and brings them into view.
// Without this file the page is whole: a cue is a link to its lines.

(() => {
  const column = document.querySelector(".read-along > .files");
  const cues = [...document.querySelectorAll(".read-along > .prose a.cue")];
  if (!column || !cues.length) return;

  const wide = matchMedia("(min-width: 76.25em)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let current = null;
  let chosenAt = null; // where the page stood when a cue was clicked: it stays until one scrolls on

  const target = (cue) => document.getElementById(decodeURIComponent(cue.hash.slice(1)));

  function light(cue) {
    if (cue === current) return;
    for (const old of document.querySelectorAll(".read-along .lit")) old.classList.remove("lit");
    current = cue;
    if (!cue) return;
    const lines = target(cue);
    cue.classList.add("lit");
    if (lines.matches(".symbol")) lines.classList.add("lit");
    const box = lines.getBoundingClientRect();
    const top = box.top - column.getBoundingClientRect().top + column.scrollTop;
    const room = Math.max(48, (column.clientHeight - box.height) / 3);
    column.scrollTo({ top: top - room, behavior: still.matches ? "auto" : "smooth" });
  }

  function look() {
    if (!wide.matches) return light(null);
    if (chosenAt !== null && Math.abs(scrollY - chosenAt) < 120) return;
    chosenAt = null;
    // The line that counts as "passed" moves down with the page, so that the last cue is reached.
    const end = document.documentElement.scrollHeight - innerHeight;
    const line = innerHeight * (0.35 + 0.65 * (end > 0 ? Math.min(1, scrollY / end) : 1));
    // On top of the page it is the first: a line with several would else show its last.
    let passed = null;
    for (const cue of cues) if (cue.getBoundingClientRect().top < line) passed = cue;
    light(passed && scrollY < 40 ? cues[0] : passed);
  }

  for (const cue of cues) {
    cue.addEventListener("click", (event) => {
      if (!wide.matches) return;
      event.preventDefault();
      chosenAt = scrollY;
      light(cue);
      history.replaceState(null, "", cue.hash);
    });
  }

  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      look();
    });
  };
  addEventListener("scroll", soon, { passive: true });
  addEventListener("resize", soon, { passive: true });
  look();
})();

// The theme puts wide tables into boxes that scroll: by keys too.
for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) box.tabIndex = 0;
new MutationObserver((changes) => {
  for (const { addedNodes } of changes)
    for (const box of addedNodes)
      if (box.classList?.contains("md-typeset__scrollwrap")) box.tabIndex = 0;
}).observe(document.body, { childList: true, subtree: true });
