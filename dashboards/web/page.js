"use strict";
const TEMPLATES = {
{% for theme, data in templates.items() %}
  {{ theme }}: {{ data }}.layout.template,
{% endfor %}
};
const DARK_MARKS = {{ dark_marks | tojson }};
const main = document.getElementById("main"), lost = document.getElementById("lost");

{% include "draw.js" %}

{% include "web/figures.js" %}

{% include "web/turning.js" %}

{% include "web/following.js" %}
