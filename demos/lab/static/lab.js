// Progress of a run; without this file the page reloads itself.
const box = document.querySelector("[data-events]");
if (box) {
  const events = new EventSource(box.dataset.events);
  events.addEventListener("step", (event) => {
    const step = JSON.parse(event.data);
    box.querySelector("[data-words]").textContent = step.words;
    box.querySelector("progress").value = step.share;
  });
  events.addEventListener("over", async () => {
    events.close();
    const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
    document.querySelector("#result")?.focus();
  });
}
