// Figures are fetched one by one, as they come near.
const LOOK_EVERY_MS = 2500, STILL_MS = 500, TICK_MS = 100;
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

// To compile Plotly and to draw take a browser's hands for a moment: while a reader's own are
// moving, or a page is on its way, only for what is looked at.
let stirredAt = performance.now();  // a page that just came is about to be used
for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "scroll"]) {
  addEventListener(kind, () => { stirredAt = performance.now(); }, {capture: true, passive: true});
}
function isStirring() {
  return performance.now() - stirredAt < STILL_MS || main.hasAttribute("aria-busy");
}
function isInSight(figure) {
  const {top, bottom} = figure.getBoundingClientRect();
  return top < innerHeight && bottom > 0;
}
async function whenDue(figure) {
  while (isStirring() && !(figure && isInSight(figure))) await new Promise((done) => setTimeout(done, TICK_MS));
}
addEventListener("load", async () => {
  if (!document.querySelector("figure .plot")) return;
  await whenDue();
  withPlotly().catch(() => {});
});

function say(figure, text, isMissing) {
  const caption = figure.querySelector("figcaption");
  caption.textContent = text;
  caption.classList.toggle("missing", isMissing);
  const plot = figure.querySelector(".plot");
  plot.setAttribute("aria-label", `${figure.querySelector("h2").textContent}. ${text}`);
}

// Of several answers that are on their way, the one to the latest question counts.
const questions = new WeakMap();
async function load(figure) {
  const question = {}, isLatest = () => questions.get(figure) === question;
  questions.set(figure, question);
  const plot = figure.querySelector(".plot");
  if (isInSight(figure)) withPlotly().catch(() => {});  // while the figure is on its way
  try {
    const headers = {accept: "application/json"};
    const answer = await (await fetch(figure.dataset.source, {headers})).json();
    if (!isLatest()) return;
    if (answer.missing !== undefined) {
      if (textOf.delete(plot) && window.Plotly) Plotly.purge(plot);
      figure.querySelector("button.save")?.remove();
      say(figure, answer.missing, true);
      if (answer.again) setTimeout(() => { if (isLatest()) load(figure); }, LOOK_EVERY_MS);
    } else {
      await show(figure, plot, JSON.stringify(answer.figure), isLatest);
      if (!isLatest()) return;
      say(figure, answer.reading, false);
    }
  } catch {
    if (!isLatest()) return;
    say(figure, "The figure could not be fetched.", true);
  }
  figure.dataset.state = "settled";
}
async function show(figure, plot, text, isLatest) {
  if (textOf.get(plot) === text) return;
  await whenDue(figure);
  await withPlotly();
  await whenDue(figure);
  if (!isLatest()) return;
  textOf.set(plot, text);
  await drawFigure(plot, text, themeSeen());
  if (figure.dataset.jump) letJump(figure, plot);
}
function letJump(figure, plot) {
  plot.removeAllListeners("plotly_click");
  plot.on("plotly_click", ({points}) => {
    const at = points.map((point) => point.customdata).find((frame) => frame !== undefined);
    if (at !== undefined) turn(figure.dataset.jump + at);
  });
}

const inSight = new IntersectionObserver((entries) => {
  for (const {isIntersecting, target} of entries) {
    if (!isIntersecting) continue;
    inSight.unobserve(target);
    load(target);
  }
}, {rootMargin: "500px"});
function observeFigures() {
  for (const figure of document.querySelectorAll("figure[data-source]:not([data-state])")) inSight.observe(figure);
}

observeFigures();
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
