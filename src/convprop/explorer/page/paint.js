// Parts of the page painted on a canvas as they stand on the screen: maps, lines, boxes and words.
// (The page's policy lets no picture be made of its markup.)

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 16;

// A canvas that holds these elements, under a title.
export function painted(elements, title) {
  const { backgroundColor: ground, color, fontFamily } = getComputedStyle(document.body);
  const boxes = elements.map((element) => element.getBoundingClientRect());
  const all = (side) => boxes.map((box) => box[side]);
  const left = Math.min(...all("left"));
  const top = Math.min(...all("top")) - (title ? 2 * MARGIN : 0);
  const [right, bottom] = [Math.max(...all("right")), Math.max(...all("bottom"))];
  const sharp = Math.max(devicePixelRatio, 2);
  const sheet = document.createElement("canvas");
  sheet.width = Math.ceil((right - left + 2 * MARGIN) * sharp);
  sheet.height = Math.ceil((bottom - top + 2 * MARGIN) * sharp);
  const pen = sheet.getContext("2d");
  pen.fillStyle = ground;
  pen.fillRect(0, 0, sheet.width, sheet.height);
  pen.setTransform(sharp, 0, 0, sharp, (MARGIN - left) * sharp, (MARGIN - top) * sharp);
  pen.fillStyle = color;
  pen.font = `600 16px ${fontFamily}`;
  pen.fillText(title, left, top + MARGIN, right - left);
  for (const element of elements) paint(pen, element);
  return sheet;
}

function paint(pen, element) {
  if (element.hidden) return;
  if (element.localName === "canvas") {
    const { left, top, width, height } = element.getBoundingClientRect();
    pen.imageSmoothingEnabled = false;
    pen.drawImage(element, left, top, width, height);
  } else if (element.namespaceURI === SVG) {
    draw(pen, element);
  } else {
    box(pen, element);
  }
  for (const child of element.childNodes) {
    const words = child.nodeType === Node.TEXT_NODE && element.namespaceURI !== SVG;
    if (child.nodeType === Node.ELEMENT_NODE) paint(pen, child);
    else if (words) write(pen, child, getComputedStyle(element));
  }
}

// An element's ground and frame.
function box(pen, element) {
  const style = getComputedStyle(element);
  const { left, top, width, height } = element.getBoundingClientRect();
  pen.fillStyle = style.backgroundColor;
  pen.fillRect(left, top, width, height);
  if (Number.parseFloat(style.borderTopWidth)) {
    pen.strokeStyle = style.borderTopColor;
    pen.lineWidth = Number.parseFloat(style.borderTopWidth);
    pen.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
  }
}

// Word by word: wherever the line has been broken.
function write(pen, node, style) {
  pen.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  pen.fillStyle = style.color;
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  for (const { index, 0: word } of node.data.matchAll(/\S+/g)) {
    const range = document.createRange();
    range.setStart(node, index);
    range.setEnd(node, index + word.length);
    const { left, top, height } = range.getBoundingClientRect();
    if (height) pen.fillText(word, left, top + height / 2);
  }
}

// A shape or a text of a drawing.
function draw(pen, shape) {
  const style = getComputedStyle(shape);
  const at = shape.getScreenCTM();
  if (!at) return;
  pen.save();
  pen.transform(at.a, at.b, at.c, at.d, at.e, at.f);
  pen.globalAlpha = Number(style.opacity);
  pen.fillStyle = style.fill;
  pen.strokeStyle = style.stroke;
  pen.lineWidth = Number.parseFloat(style.strokeWidth);
  const dashes = style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(/,\s*/);
  pen.setLineDash(dashes.map(Number.parseFloat));
  const number = (name) => shape[name].baseVal.value;
  const path = new Path2D();
  if (shape.localName === "line") {
    path.moveTo(number("x1"), number("y1"));
    path.lineTo(number("x2"), number("y2"));
  } else if (shape.localName === "polyline") {
    for (const { x, y } of shape.points) path.lineTo(x, y);
  } else if (shape.localName === "rect") {
    path.roundRect(number("x"), number("y"), number("width"), number("height"), number("rx"));
    if (style.fill !== "none") pen.fill(path);
  } else if (shape.localName === "text") {
    pen.font = `${style.fontSize} ${style.fontFamily}`;
    pen.textAlign = style.textAnchor;
    pen.fillText(shape.textContent, shape.x.baseVal[0].value, shape.y.baseVal[0].value);
  }
  if (style.stroke !== "none") pen.stroke(path);
  pen.restore();
}
