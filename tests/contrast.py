"""Whether the texts of a page can be read: contrast as WCAG 2.2, success criterion 1.4.3 (AA)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Returns the texts below the ratio that they need, 4.5, or 3 for large ones. The background is that
# of the ancestors; a name of a trial in a plot has a rectangle of its own behind it.
_SCRIPT = """
const channel = (value) => {
  const share = value / 255;
  return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
};
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const colour = (text) => {
  const [r, g, b, a = 1] = (text.match(/[0-9.]+/g) ?? [0, 0, 0, 0]).map(Number);
  return [r, g, b, a];
};
const over = ([r, g, b, a], under) =>
  [r, g, b].map((value, place) => a * value + (1 - a) * under[place]);
const ancestors = (node) => node ? [node, ...ancestors(node.parentElement)] : [];
const visible = (node) => {
  const style = getComputedStyle(node), box = node.getBoundingClientRect();
  return style.visibility === "visible" && style.display !== "none" && box.width * box.height > 0;
};
const background = (node) => {
  const layers = ancestors(node).map((one) => colour(getComputedStyle(one).backgroundColor));
  let under = [255, 255, 255];
  for (const layer of layers.reverse()) under = over(layer, under);
  const rectangle = node.closest(".annotation-text-g")?.querySelector("rect.bg");
  if (rectangle) {
    const style = getComputedStyle(rectangle), [r, g, b, a] = colour(style.fill);
    under = over([r, g, b, a * style.fillOpacity], under);
  }
  return under;
};
const found = [];
for (const node of document.body.querySelectorAll("*")) {
  const texts = [...node.childNodes].filter((one) => one.nodeType === Node.TEXT_NODE);
  const text = texts.map((one) => one.textContent).join("").trim();
  if (!text || ["SCRIPT", "STYLE"].includes(node.tagName) || !visible(node)) continue;
  const style = getComputedStyle(node), isDrawn = node instanceof SVGElement;
  const [r, g, b, a] = colour(isDrawn ? style.fill : style.color);
  const opacity = ancestors(node).reduce((share, one) => share * getComputedStyle(one).opacity, 1);
  const under = background(node);
  const seen = over([r, g, b, a * opacity * (isDrawn ? style.fillOpacity : 1)], under);
  const [low, high] = [light(seen), light(under)].sort((one, other) => one - other);
  const ratio = (high + 0.05) / (low + 0.05), size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  if (ratio < (isLarge ? 3 : 4.5)) found.push(`${text.slice(0, 60)}: ${ratio.toFixed(2)}`);
}
return found;
"""


def unreadable(browser: Any) -> list[str]:
    """Return the texts of a page with too little contrast, each with its ratio."""
    found: list[str] = browser.execute_script(_SCRIPT)
    return found


def linear(colour: str) -> NDArray[np.float64]:
    """The light of a colour like ``#1797A6`` in red, green and blue."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""
    lights = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (one, other))
    return lights[1] / lights[0]
