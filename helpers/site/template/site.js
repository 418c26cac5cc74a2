"use strict";

// The list of sections stands open where there is room for it beside the text.
for (const contents of document.querySelectorAll(".contents"))
  contents.open = matchMedia("(min-width: 76rem)").matches;

// What scrolls sideways can be reached by keyboard, and only then.
const wide = document.querySelectorAll("pre, .table, .formula, figure:has(> .wide)");
const reach = new ResizeObserver((entries) => {
  for (const { target } of entries)
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
});
wide.forEach((each) => reach.observe(each));

// Films. Nothing moves before Play is pressed; a few pictures, or for whoever has asked for less motion, slowly.
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

for (const film of document.querySelectorAll(".film:has(.controls)")) {
  const frames = film.querySelectorAll(".frames img");
  const slider = film.querySelector("input");
  const button = film.querySelector("button");
  const label = film.querySelector(".label");
  const text = film.querySelector(".text");
  const said = film.querySelector("[role=status]");
  const pace = calm || frames.length < 10 ? 1200 : 500;
  let playing = null;

  const show = () => {
    frames.forEach((frame, i) => (frame.hidden = i !== slider.valueAsNumber));
    const { dataset } = frames[slider.valueAsNumber];
    label.textContent = dataset.label;
    text.textContent = dataset.text;
    slider.setAttribute("aria-valuetext", dataset.label);
  };
  const stop = () => {
    clearInterval(playing);
    playing = null;
    button.textContent = "Play";
    said.textContent = [label.textContent, text.textContent].filter(Boolean).join(": ");
  };
  const step = () => {
    slider.valueAsNumber += 1;
    show();
    if (slider.value === slider.max) stop();
  };
  const play = () => {
    button.textContent = "Pause";
    said.textContent = ""; // who listens hears the frame at which it ends, not each on the way
    if (slider.value === slider.max) slider.value = 0;
    playing = setInterval(step, pace);
    show();
  };

  button.addEventListener("click", () => (playing === null ? play() : stop()));
  slider.addEventListener("input", () => {
    if (playing !== null) stop();
    show();
    said.textContent = text.textContent; // the slider says the label itself
  });
  film.querySelector(".controls").hidden = false;
  show();
}
