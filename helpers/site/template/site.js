"use strict";

// The list of sections stands open where there is room for it beside the text.
for (const contents of document.querySelectorAll(".contents"))
  contents.open = matchMedia("(min-width: 76rem)").matches;

// What scrolls sideways can be reached by keyboard, and only then.
const wide = document.querySelectorAll("pre, .table, .formula");
const reach = new ResizeObserver((entries) => {
  for (const { target } of entries)
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
});
wide.forEach((each) => reach.observe(each));

// Films. Nothing moves before Play is pressed, and then slowly for whoever has asked for less motion.
const pace = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1500 : 500;

for (const film of document.querySelectorAll(".film:has(.controls)")) {
  const frames = film.querySelectorAll(".frames img");
  const slider = film.querySelector("input");
  const button = film.querySelector("button");
  const label = film.querySelector(".label");
  const text = film.querySelector(".text");
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
    text.setAttribute("aria-live", "polite");
  };
  const step = () => {
    slider.valueAsNumber += 1;
    if (slider.value === slider.max) stop();
    show();
  };
  const play = () => {
    button.textContent = "Pause";
    text.setAttribute("aria-live", "off"); // who listens hears the frame at which it ends, not each on the way
    if (slider.value === slider.max) slider.value = 0;
    playing = setInterval(step, pace);
    show();
  };

  button.addEventListener("click", () => (playing === null ? play() : stop()));
  slider.addEventListener("input", () => {
    if (playing !== null) stop();
    show();
  });
  film.querySelector(".controls").hidden = false;
  show();
}
