// A link or a form that leads to this very page, with something else chosen, changes the page in
// place: only what differs is put anew, and the scripts and figures that are there stay.
let turns = 0, shownAt = addressOf(location);
function addressOf({pathname, search}) {
  return pathname + search;
}
function leadsHere({origin, pathname}) {
  return origin === location.origin && pathname === location.pathname;
}

// Of several pages that are on their way, the one that was asked for last counts.
async function turn(href) {
  const mine = ++turns;
  let answer, text;
  main.setAttribute("aria-busy", "true");
  try {
    answer = await fetch(href);
    text = await answer.text();
  } catch {
    if (mine === turns) lost.hidden = false;
    return;
  } finally {
    if (mine === turns) main.removeAttribute("aria-busy");
  }
  if (mine !== turns) return;
  lost.hidden = true;
  const next = new DOMParser().parseFromString(text, "text/html").getElementById("main");
  const isHere = addressOf(new URL(href, location)) === addressOf(location);
  if (!answer.ok || !next || !hasSameParts(next)) return isHere ? location.reload() : location.assign(href);
  if (!isHere) history.pushState(null, "", href);
  shownAt = addressOf(location);
  putParts(next);
  main.dataset.seen = next.dataset.seen;
  observeFigures();
  awaitRest();
}

function partsOf(page) {
  const parts = [...page.children].filter((part) => part.id !== lost.id);
  return parts.flatMap((part) => (part.matches(".side-by-side") ? [...part.children] : [part]));
}
function hasSameParts(next) {
  const names = (page) => partsOf(page).map(({id, localName}) => id || localName).join(" ");
  return names(main) === names(next);
}
function putParts(next) {
  const fresh = partsOf(next), goOn = keepPlace();
  partsOf(main).forEach((part, place) => {
    if (part.matches("figure[data-source]")) pointTo(part, fresh[place]);
    else if (part.outerHTML !== fresh[place].outerHTML) part.replaceWith(fresh[place]);
  });
  goOn();
}
function pointTo(figure, next) {
  figure.querySelector("h2").textContent = next.querySelector("h2").textContent;
  if (next.dataset.jump) figure.dataset.jump = next.dataset.jump;
  if (next.dataset.source === figure.dataset.source) return;
  figure.dataset.source = next.dataset.source;
  delete figure.dataset.state;
  questions.delete(figure);  // what is on its way answers none that counts
}
// Who goes by the keyboard goes on where they were, though what stood there is put anew.
const TOLD_BY = ["name", "rel", "type", "aria-label"];
function keepPlace() {
  const control = document.activeElement, home = main.contains(control) && control.closest("[id]");
  return () => {
    const there = home && !control.isConnected && document.getElementById(home.id);
    if (!there) return;
    const same = [there, ...there.querySelectorAll("*")].filter((other) => other.localName === control.localName
      && TOLD_BY.every((about) => other.getAttribute(about) === control.getAttribute(about)));
    const found = same.find(({textContent}) => textContent === control.textContent) ?? same[0] ?? there;
    if (!same.length) there.tabIndex = -1;
    found.focus({preventScroll: true});
  };
}

function bringTopIntoSight(id) {
  const part = document.getElementById(id);
  if (part.getBoundingClientRect().top < 0) part.scrollIntoView();
}
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("main a[href]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  const url = new URL(link.href);
  if (link.hasAttribute("download") || !leadsHere(url) || (url.hash && url.search === location.search)) return;
  event.preventDefault();
  const list = link.closest(".pages") && link.closest("section");
  turn(url.href).then(() => { if (list) bringTopIntoSight(list.id); });
});
document.addEventListener("submit", (event) => {
  const form = event.target, url = new URL(form.action);
  if (form.method !== "get" || !leadsHere(url)) return;
  event.preventDefault();
  url.search = new URLSearchParams(new FormData(form));
  turn(url.href);
});
document.addEventListener("keydown", ({key, target, ctrlKey, altKey, metaKey}) => {
  const rel = {ArrowLeft: "prev", ArrowRight: "next"}[key];
  if (!rel || ctrlKey || altKey || metaKey || target.closest("input, select, .scroll")) return;
  document.querySelector(`.turns a[rel="${rel}"]`)?.click();
});
addEventListener("popstate", () => {
  if (addressOf(location) !== shownAt) turn(location.href);
});
