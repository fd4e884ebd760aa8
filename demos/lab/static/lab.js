// Progress of runs; without this file the page reloads itself.
for (const box of document.querySelectorAll("[data-events]")) {
  const events = new EventSource(box.dataset.events);
  for (const list of box.querySelectorAll("[data-said]")) list.replaceChildren(); // told from the first on
  events.addEventListener("step", (event) => {
    const step = JSON.parse(event.data);
    box.querySelector("[data-words]").textContent = step.words;
    box.querySelector("progress").value = step.share;
    const list = step.said && box.querySelector(`[data-said="${step.framework}"]`);
    if (list) list.append(line(step));
  });
  events.addEventListener("over", async () => {
    events.close();
    const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
    const other = page.querySelector("main [data-events]");
    if (other) return location.reload();
    document.querySelector("main").replaceWith(page.querySelector("main"));
    document.querySelector("#result")?.focus();
  });
}

function line(step) {
  const item = document.createElement("li");
  const at = item.appendChild(document.createElement("span"));
  at.className = "at";
  at.textContent = step.at;
  item.appendChild(document.createElement("span")).textContent = step.said;
  return item;
}
