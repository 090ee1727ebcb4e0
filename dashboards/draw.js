// Draws a figure in the theme it is read in. TEMPLATES and DARK_MARKS stand before this.
const dark = matchMedia("(prefers-color-scheme: dark)");
function themeSeen() { return dark.matches ? "dark" : "light"; }
function recolored(text) {
  for (const [light, dark] of Object.entries(DARK_MARKS)) text = text.replaceAll(light, dark);
  return text;
}
function drawFigure(plot, text, theme) {
  const {data, layout} = JSON.parse(theme === "dark" ? recolored(text) : text);
  layout.template = TEMPLATES[theme];
  return Plotly.react(plot, data, layout, {
    responsive: true, displaylogo: false, modeBarButtons: [["toImage"]],
    toImageButtonOptions: {format: "svg", filename: plot.parentElement.id},
  });
}
