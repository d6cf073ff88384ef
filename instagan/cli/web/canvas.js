// Painting instances over a picture. The value is a list of strokes, {instance, width, points}: width and points in
// shares of the picture's longer side, and of its width and height. props.picture is a data address, props.colours
// one colour for each instance. element, props and watch come from gradio.

const area = element.querySelector(".canvas-area");
const chips = element.querySelector(".canvas-instances");
const width = element.querySelector(".canvas-width");
const context = area.getContext("2d");
const picture = new Image();
const colourOf = (instance) => props.colours[instance % props.colours.length];
let strokes = [];
let open = null; // the stroke that is being painted
let current = 0;
let count = 1;

function trace(stroke) {
  context.beginPath();
  stroke.points.forEach(([x, y]) => context.lineTo(x * area.width, y * area.height));
  const [x, y] = stroke.points[0];
  if (stroke.points.length === 1) context.lineTo(x * area.width + 0.01, y * area.height);
}

function paint() {
  context.globalAlpha = 1;
  context.clearRect(0, 0, area.width, area.height);
  if (picture.naturalWidth) context.drawImage(picture, 0, 0, area.width, area.height);
  context.lineCap = context.lineJoin = "round";
  for (const stroke of open ? [...strokes, open] : strokes) {
    context.strokeStyle = context.fillStyle = colourOf(stroke.instance);
    context.lineWidth = stroke.width * Math.max(area.width, area.height);
    context.globalAlpha = 0.35;
    trace(stroke);
    if (stroke.points.length > 2 && stroke !== open) context.fill();
    context.globalAlpha = 0.75;
    context.stroke();
  }
}

function showInstances() {
  chips.replaceChildren();
  for (let instance = 0; instance < count; instance++) {
    const chip = document.createElement("button");
    chip.type = "button";
    chip.textContent = instance + 1;
    chip.style.borderColor = colourOf(instance);
    chip.setAttribute("aria-pressed", instance === current);
    chip.setAttribute("aria-label", `Paint instance ${instance + 1}`);
    chip.onclick = () => { current = instance; showInstances(); };
    chips.append(chip);
  }
}

function tell() {
  props.value = strokes;
  paint();
}

function placeOf(event) {
  const box = area.getBoundingClientRect();
  const share = (value, start, length) => Math.min(1, Math.max(0, (value - start) / length));
  return [share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)];
}

function restart() {
  strokes = [];
  open = null;
  current = 0;
  count = 1;
  showInstances();
  if (!props.picture) return paint();
  picture.onload = () => {
    area.width = picture.naturalWidth;
    area.height = picture.naturalHeight;
    paint();
  };
  picture.src = props.picture;
}

area.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !picture.naturalWidth) return;
  event.preventDefault();
  area.setPointerCapture(event.pointerId);
  open = { instance: current, width: width.value / 1000, points: [placeOf(event)] };
  paint();
});
area.addEventListener("pointermove", (event) => {
  if (!open) return;
  open.points.push(placeOf(event));
  paint();
});
for (const name of ["pointerup", "pointercancel"]) {
  area.addEventListener(name, () => {
    if (!open) return;
    strokes = [...strokes, open];
    open = null;
    tell();
  });
}
element.querySelector(".canvas-new").onclick = () => {
  current = count++;
  showInstances();
};
element.querySelector(".canvas-undo").onclick = () => {
  strokes = strokes.slice(0, -1);
  tell();
};
element.querySelector(".canvas-clear").onclick = () => {
  strokes = [];
  current = 0;
  count = 1;
  showInstances();
  tell();
};
watch("picture", restart);
restart();
