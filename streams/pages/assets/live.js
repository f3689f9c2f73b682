// Fetches what a page shows again when its tracker tells of a change, and says when it is not up to date any more.
"use strict";

const stale = document.getElementById("stale");
let source = null;

function sayStale(event) {
  const page = new DOMParser().parseFromString(event.detail.ctx.text || "", "text/html");
  const title = page.querySelector("h1");
  stale.textContent = `Not up to date: ${title ? title.textContent : "the tracker does not answer"}. Trying again.`;
  stale.hidden = false;
}

// A browser has six connections to a server for all its windows: one that nobody sees keeps none of them.
function listen() {
  const live = document.querySelector("[data-events]");
  const wanted = live !== null && document.visibilityState === "visible";
  if (source !== null && !(wanted && source.url === new URL(live.dataset.events, location).href)) {
    source.close();
    source = null;
  }
  if (wanted && source === null) {
    source = new EventSource(live.dataset.events);
    for (const kind of ["progress", "state", "end"]) {
      source.addEventListener(kind, () => htmx.trigger("#live", "brh:changed"));
    }
  }
}

document.addEventListener("htmx:response:error", sayStale);
document.addEventListener("htmx:error", sayStale);
document.addEventListener("htmx:after:swap", (event) => {
  // It is told of an error, too, of which nothing is swapped.
  if (event.detail.ctx.response.status < 400) {
    stale.hidden = true;
    listen();
  }
});
document.addEventListener("visibilitychange", listen);
listen();
