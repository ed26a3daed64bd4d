// Corners are dragged, or moved by the arrow keys. Only what moves is drawn anew while it moves; the value, in
// shares of the photo's sides, changes when it stands still.
const ZOOM = 4;
let corners, held = null;

const find = (selector) => element.querySelector(selector);
const between = (low, value, high) => Math.min(Math.max(value, low), high);

function place(i, x, y) {
  corners[i] = [between(0, x, 1), between(0, y, 1)];
  const dot = find(`[data-corner="${i}"]`);
  dot.style.left = `${100 * corners[i][0]}%`;
  dot.style.top = `${100 * corners[i][1]}%`;
  find("polygon").setAttribute("points", corners.map((corner) => corner.join()).join(" "));
}

// What the finger hides, on the side of the photo where it is not.
function magnify(i) {
  const loupe = find(".loupe"), { width, height } = find("img").getBoundingClientRect(), [x, y] = corners[i];
  loupe.hidden = false;
  const half = loupe.clientWidth / 2;
  Object.assign(loupe.style, {
    left: x < 0.5 ? "auto" : 0,
    right: x < 0.5 ? 0 : "auto",
    backgroundImage: `url(${find("img").src})`,
    backgroundSize: `${ZOOM * width}px ${ZOOM * height}px`,
    backgroundPosition: `${half - ZOOM * width * x}px ${half - ZOOM * height * y}px`,
  });
}

function tell(focused) {
  props.value = { ...props.value, corners };
  trigger("input");
  requestAnimationFrame(() => find(`[data-corner="${focused}"]`)?.focus({ preventScroll: true }));
}

function corner(event) {
  const dot = event.target.closest?.("[data-corner]");
  if (!dot) return null;
  corners = props.value.corners.map((point) => [...point]);
  return Number(dot.dataset.corner);
}

element.addEventListener("pointerdown", (event) => {
  const i = corner(event);
  if (i === null) return;
  const { width, height } = find("img").getBoundingClientRect(), [x, y] = corners[i];
  // A corner stays as far from the finger as it was taken hold of.
  held = { i, width, height, x: event.clientX - x * width, y: event.clientY - y * height };
  event.target.setPointerCapture(event.pointerId);
  magnify(i);
});
element.addEventListener("pointermove", (event) => {
  if (!held) return;
  place(held.i, (event.clientX - held.x) / held.width, (event.clientY - held.y) / held.height);
  magnify(held.i);
});
for (const end of ["pointerup", "pointercancel"]) {
  element.addEventListener(end, () => {
    if (!held) return;
    const { i } = held;
    held = null;
    find(".loupe").hidden = true;
    tell(i);
  });
}
element.addEventListener("keydown", (event) => {
  const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const i = move ? corner(event) : null;
  if (i === null) return;
  event.preventDefault();
  const { naturalWidth, naturalHeight } = find("img"), step = event.shiftKey ? 10 : 1, [x, y] = corners[i];
  place(i, x + (move[0] * step) / naturalWidth, y + (move[1] * step) / naturalHeight);
  tell(i);
});
