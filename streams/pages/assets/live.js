// Says when what a page shows is not up to date any more, and takes it back when it is.
"use strict";

const stale = document.getElementById("stale");

function sayStale(event) {
  const page = new DOMParser().parseFromString(event.detail.ctx.text || "", "text/html");
  const title = page.querySelector("h1");
  stale.textContent = `Not up to date: ${title ? title.textContent : "the tracker does not answer"}. Trying again.`;
  stale.hidden = false;
}

document.addEventListener("htmx:response:error", sayStale);
document.addEventListener("htmx:error", sayStale);
document.addEventListener("htmx:after:swap", () => {
  stale.hidden = true;
});
