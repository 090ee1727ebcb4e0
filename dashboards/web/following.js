// A page follows what it is drawn from, without a reader's doing.
const AGAIN_MS = 1000;

// What has changed is put in its place; what a reader typed or chose stays.
function swap(fresh) {
  const goOn = keepPlace();
  for (const there of document.querySelectorAll("[data-swap]")) {
    const next = fresh.getElementById(there.id);
    if (next && next.innerHTML !== there.innerHTML) there.replaceChildren(...next.childNodes);
  }
  growLists(fresh);
  goOn();
  awaitRest();
}
// A list offers what has come since; a choice that was made in it stays.
function growLists(fresh) {
  const nameOf = (list) => `${list.closest("[id]").id} ${list.name}`;
  const offered = new Map([...fresh.querySelectorAll("main select")].map((list) => [nameOf(list), list]));
  for (const list of main.querySelectorAll("select")) {
    const next = offered.get(nameOf(list));
    if (!next || next.innerHTML === list.innerHTML || list === document.activeElement) continue;
    const chosen = valuesOf(list.selectedOptions), isMade = `${chosen}` !== `${valuesOf(servedIn(list))}`;
    if (isMade && !chosen.every((value) => valuesOf(next.options).includes(value))) continue;
    const kept = isMade ? chosen : valuesOf(servedIn(next));
    list.replaceChildren(...next.childNodes);
    for (const option of list.options) option.selected = kept.includes(option.value);
  }
}
function valuesOf(options) {
  return [...options].map(({value}) => value);
}
// What is chosen as the page comes: of a list of one choice, the first where none is named.
function servedIn(list) {
  const named = [...list.options].filter(({defaultSelected}) => defaultSelected);
  return named.length || list.multiple ? named : [...list.options].slice(0, 1);
}

// What is still on its way says so with `data-again`, and is asked for until it has come.
let awaited;
function awaitRest() {
  clearTimeout(awaited);
  if (document.querySelector("[data-again]")) awaited = setTimeout(askForRest, AGAIN_MS);
}
async function askForRest() {
  const asked = turns;
  try {
    const text = await (await fetch(location.href)).text();
    lost.hidden = true;
    if (asked === turns) swap(new DOMParser().parseFromString(text, "text/html"));
  } catch {
    lost.hidden = false;
  }
  awaitRest();
}
awaitRest();

function hasFigures(page) {
  return page.querySelector("figure[data-source]") !== null;
}
async function look() {
  if (document.hidden) return;
  const asked = turns;
  let answer, text;
  try {
    answer = await fetch(location.href, {headers: {"x-seen": main.dataset.seen}});
    text = await answer.text();
  } catch {
    lost.hidden = false;
    return;
  }
  lost.hidden = true;
  if (answer.status !== 200 || asked !== turns) return;
  const fresh = new DOMParser().parseFromString(text, "text/html");
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
