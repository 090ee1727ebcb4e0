// Draws a figure in the theme it is read in. TEMPLATES and DARK_MARKS stand before this.
const dark = matchMedia("(prefers-color-scheme: dark)");
function themeSeen() { return dark.matches ? "dark" : "light"; }
function recolored(text) {
  for (const [light, dark] of Object.entries(DARK_MARKS)) text = text.replaceAll(light, dark);
  return text;
}
// On a phone, titles that are longer than their axis go on in the next line, and names leave out the
// settings below them where there is no room for these.
const CHARACTER_PX = 7.5, SMALL_CHARACTER_PX = 5.5, LEFT_OF_AXIS_PX = 70, MOST_BESIDE = 0.3, SETTLED_MS = 200;
const SETTINGS = /<br><span style='font-size:\d+px'>/;
function fitToWidth(layout, widthPx) {
  for (const [name, axis] of Object.entries(layout)) {
    if (name.startsWith("yaxis") && axis.ticktext) {
      axis.ticktext = namesThatFit(axis.ticktext, widthPx * MOST_BESIDE);
    }
    if (!name.startsWith("xaxis")) continue;
    const [start, end] = axis.domain ?? [0, 1];
    const axisPx = (end - start) * (widthPx - LEFT_OF_AXIS_PX);
    if (axis.ticktext) axis.ticktext = namesThatFit(axis.ticktext, axisPx / axis.ticktext.length);
    if (axis.title?.text) axis.title.text = wrapped(axis.title.text, axisPx / CHARACTER_PX);
  }
}
function namesThatFit(names, mostPx) {
  const parts = names.map((name) => name.split(SETTINGS));
  const lines = parts.flatMap(([, settings]) => settings?.split("<br>") ?? []);
  const longest = Math.max(0, ...lines.map((line) => line.length));
  return longest * SMALL_CHARACTER_PX > mostPx ? parts.map(([name]) => name) : names;
}
function wrapped(text, most) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = `${lines.at(-1)} ${word}`.trimStart();
    if (line.length > most && lines.at(-1)) lines.push(word);
    else lines[lines.length - 1] = line;
  }
  return lines.join("<br>");
}
function whenWidthChanges(redraw) {
  let width = innerWidth, waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { if (width !== innerWidth) { width = innerWidth; redraw(); } }, SETTLED_MS);
  });
}
// Names beside an axis may leave less room than was reckoned with: what reaches out is wrapped as it stands.
function wrapWhatReachesOut(plot, layout) {
  const edge = plot.getBoundingClientRect();
  let reachesOut = false;
  for (const [name, axis] of Object.entries(layout)) {
    const title = name.startsWith("xaxis") && plot.querySelector(`.${name.replace("axis", "")}title`);
    if (!title) continue;
    const box = title.getBoundingClientRect();
    const beyondPx = Math.max(edge.left - box.left, box.right - edge.right);
    if (beyondPx <= 0) continue;
    const lines = axis.title.text.split("<br>");
    const longest = Math.max(...lines.map((line) => line.length));
    axis.title.text = wrapped(lines.join(" "), longest * (1 - 2 * beyondPx / box.width));
    reachesOut = true;
  }
  return reachesOut;
}
async function drawFigure(plot, text, theme) {
  const {data, layout} = JSON.parse(theme === "dark" ? recolored(text) : text);
  layout.template = TEMPLATES[theme];
  fitToWidth(layout, plot.clientWidth);
  const config = {responsive: true, displayModeBar: false};
  await Plotly.react(plot, data, layout, config);
  if (wrapWhatReachesOut(plot, layout)) await Plotly.react(plot, data, layout, config);
  offerToSave(plot, text);
}
function offerToSave(plot, text) {
  const title = plot.parentElement.querySelector("h2");
  let button = plot.parentElement.querySelector("button.save");
  if (!button) {
    button = document.createElement("button");
    button.type = "button";
    button.className = "save";
    const verb = document.createElement("span");
    verb.textContent = "Save as ";
    button.append(verb, "SVG");
    button.setAttribute("aria-label", `Save as SVG: ${title.textContent}`);
    title.after(button);
  }
  button.onclick = () => saveFigure(plot, text);
}
// For a paper: dark ink on white, as wide as it is seen, whatever theme it is read in.
function saveFigure(plot, text) {
  const {data, layout} = JSON.parse(text);
  Object.assign(layout, {template: TEMPLATES.light, paper_bgcolor: "#ffffff"});
  const width = plot.clientWidth;
  fitToWidth(layout, width);
  const as = {format: "svg", filename: plot.parentElement.id, width, height: plot.clientHeight};
  return Plotly.downloadImage({data, layout}, as);
}
