"use strict";
const TEMPLATES = {
{% for theme, data in templates.items() %}
  {{ theme }}: {{ data }}.layout.template,
{% endfor %}
};
const DARK_MARKS = {{ dark_marks | tojson }};
{% include "draw.js" %}

const LOOK_EVERY_MS = 2500, AGAIN_MS = 1000;
const textOf = new Map();

// It is large, and pages of tables do without.
let plotly;
function withPlotly() {
  return plotly ??= new Promise((done, fail) => {
    const script = document.createElement("script");
    script.src = "/static/plotly.js";
    script.onload = done;
    script.onerror = () => { plotly = undefined; fail(); };  // the next figure asks again
    document.head.append(script);
  });
}
// A page that shows tables first need not wait for it.
addEventListener("load", () => { if (document.querySelector("figure .plot")) withPlotly().catch(() => {}); });

// What a reader looks at is drawn before what comes next.
function isInSight(figure) {
  const {top, bottom} = figure.getBoundingClientRect();
  return top < innerHeight && bottom > 0;
}
function whenIdle() {
  return new Promise((done) => (window.requestIdleCallback ?? setTimeout)(done));
}

function say(figure, text, isMissing) {
  const caption = figure.querySelector("figcaption");
  caption.textContent = text;
  caption.classList.toggle("missing", isMissing);
  const plot = figure.querySelector(".plot");
  plot.setAttribute("aria-label", `${figure.querySelector("h2").textContent}. ${text}`);
}

// Of several answers that are on their way, the one to the latest question counts.
async function load(figure) {
  const plot = figure.querySelector(".plot");
  const source = figure.dataset.source;
  try {
    const answer = await (await fetch(source, {headers: {accept: "application/json"}})).json();
    if (figure.dataset.source !== source) return;
    if (answer.missing !== undefined) {
      if (textOf.delete(plot) && window.Plotly) Plotly.purge(plot);
      figure.querySelector("button.save")?.remove();
      say(figure, answer.missing, true);
      if (answer.again) setTimeout(() => load(figure), LOOK_EVERY_MS);
    } else {
      const text = JSON.stringify(answer.figure);
      if (textOf.get(plot) !== text) {
        textOf.set(plot, text);
        await withPlotly();
        if (!isInSight(figure)) await whenIdle();
        await drawFigure(plot, text, themeSeen());
        if (figure.dataset.jump) letJump(figure, plot);
      }
      say(figure, answer.reading, false);
    }
  } catch {
    say(figure, "The figure could not be fetched.", true);
  }
  figure.dataset.state = "settled";
}

const inSight = new IntersectionObserver((entries) => {
  for (const {isIntersecting, target} of entries) {
    if (!isIntersecting) continue;
    inSight.unobserve(target);
    load(target);
  }
}, {rootMargin: "500px"});

for (const figure of document.querySelectorAll("figure[data-source]")) inSight.observe(figure);
for (const data of document.querySelectorAll('figure > script[type="application/json"]')) {
  const plot = data.parentElement.querySelector(".plot");
  textOf.set(plot, data.textContent);
  withPlotly().then(() => drawFigure(plot, data.textContent, themeSeen()));
}

function redraw(theme) {
  if (!window.Plotly) return;  // what is not drawn yet will be, as it is seen then
  for (const [plot, text] of textOf) drawFigure(plot, text, theme);
}
dark.addEventListener("change", () => redraw(themeSeen()));
whenWidthChanges(() => redraw(themeSeen()));
addEventListener("beforeprint", () => redraw("light"));
addEventListener("afterprint", () => redraw(themeSeen()));

// What has changed is put in its place; what a reader typed or chose stays.
function swap(fresh) {
  for (const there of document.querySelectorAll("[data-swap]")) {
    const next = fresh.getElementById(there.id);
    if (next && next.innerHTML !== there.innerHTML) there.replaceChildren(...next.childNodes);
  }
  awaitRest();
}

// A step along a recording: the tables and figures change, the page stays.
async function turn(href, isBack = false) {
  const answer = await fetch(href);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (!isBack) history.pushState(null, "", href);
  swap(fresh);
  for (const figure of document.querySelectorAll("figure[data-source]")) {
    const next = fresh.getElementById(figure.id);
    if (!next || next.dataset.source === figure.dataset.source) continue;
    figure.dataset.source = next.dataset.source;
    if (next.dataset.jump) figure.dataset.jump = next.dataset.jump;
    delete figure.dataset.state;
    load(figure);
  }
}

// What is still on its way says so with `data-again`, and is asked for until it has come.
let awaited;
function awaitRest() {
  clearTimeout(awaited);
  if (document.querySelector("[data-again]")) awaited = setTimeout(askForRest, AGAIN_MS);
}
async function askForRest() {
  const lost = document.getElementById("lost"), href = location.href;
  try {
    const text = await (await fetch(href)).text();
    lost.hidden = true;
    if (href === location.href) swap(new DOMParser().parseFromString(text, "text/html"));
  } catch {
    lost.hidden = false;
  }
  awaitRest();
}
awaitRest();

function letJump(figure, plot) {
  plot.removeAllListeners("plotly_click");
  plot.on("plotly_click", ({points}) => {
    const at = points.map((point) => point.customdata).find((frame) => frame !== undefined);
    if (at !== undefined) turn(figure.dataset.jump + at);
  });
}

if (document.querySelector("[data-turn], [data-again]")) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-turn]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    turn(link.href);
  });
  document.addEventListener("keydown", ({key, target, ctrlKey, altKey, metaKey}) => {
    const rel = {ArrowLeft: "prev", ArrowRight: "next"}[key];
    if (!rel || ctrlKey || altKey || metaKey || target.closest("input, select, .scroll")) return;
    document.querySelector(`a[data-turn][rel="${rel}"]`)?.click();
  });
  addEventListener("popstate", () => turn(location.href, true));
}

function hasFigures(page) {
  return page.querySelector("figure[data-source]") !== null;
}
async function look() {
  if (document.hidden) return;
  const main = document.getElementById("main");
  const lost = document.getElementById("lost");
  let answer;
  try {
    answer = await fetch(location.href, {headers: {"x-seen": main.dataset.seen}});
  } catch {
    lost.hidden = false;
    return;
  }
  lost.hidden = true;
  if (answer.status !== 200) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (hasFigures(fresh) && !hasFigures(document)) return location.reload();  // there is something to draw now
  swap(fresh);
  const seen = fresh.getElementById("main").dataset.seen;
  if (seen === main.dataset.seen) return;
  main.dataset.seen = seen;
  for (const figure of document.querySelectorAll('figure[data-state="settled"]')) load(figure);
}

async function follow() {
  await look();
  setTimeout(follow, LOOK_EVERY_MS);
}
if (document.body.dataset.live) setTimeout(follow, LOOK_EVERY_MS);
