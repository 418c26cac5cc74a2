"""A panel for those who hear it or press keys: names, roles and words that ipywidgets leaves out, focus that is seen.

ipywidgets has no way to name a slider's handle or a picture (ipywidgets#2650). So the panel's first element sees to it
in the browser, as soon as it is on the page and whenever something on the panel changes. A key pressed on a control is
for that control: JupyterLab and Notebook 7 would take an arrow or a letter for one of their own, which move between
cells, or delete one. What is pressed with Ctrl, Alt or a command key, and Shift-Enter, goes to them as ever.
"""

import html

_SEE_TO_IT = """
const panel = this.closest('.widget-box');
if (panel.named) return;
panel.named = true;
const text = (element) => element ? element.textContent.trim() : '';
const each = (selector, action) => panel.querySelectorAll(selector).forEach(action);
const put = (element, pairs) => Object.entries(pairs).forEach(([name, value]) => {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
});
const name = () => {
  const title = text(panel.querySelector('b'));
  put(panel, {role: 'group', 'aria-label': title});
  each('.fa', (icon) => put(icon, {'aria-hidden': true}));
  each('.widget-slider', (slider) => {
    const label = text(slider.querySelector('.widget-label')), readout = slider.querySelector('.widget-readout');
    const recorded = slider.matches('.panel-scrubber');
    const handles = [...slider.querySelectorAll('.noUi-handle')];
    handles.forEach((handle, i) => put(handle, {
      'aria-label': recorded ? 'recorded step' : handles.length > 1 ? `${label}, ${['from', 'to'][i]}` : label,
      'aria-valuetext': recorded ? label : text(readout).split(' – ')[i] || text(readout),
    }));
    put(readout, {role: 'textbox', 'aria-label': `${label}, typed`});
  });
  each('.widget-checkbox input', (box) => {
    const words = box.nextElementSibling.querySelector('[title]')?.title || '';
    [box, box.nextElementSibling].forEach((each) => put(each, {title: words}));
  });
  each('[class*=knob-]', (knob) => {
    const words = knob.querySelector('label [title]')?.title;
    if (words) knob.querySelectorAll('select, input, .noUi-handle').forEach((e) => put(e, {'aria-description': words}));
  });
  each('.panel-upload', (button) => {
    put(button, {'aria-label': `Upload: ${text(button.closest('.panel-row').querySelector('.widget-label'))}`});
  });
  each('.panel-more, .panel-show-the-call', (button) => {
    put(button, {'aria-expanded': button.classList.contains('mod-active')});
  });
  const running = panel.querySelector('.panel-stop:enabled');
  each('.panel-status', (line) => put(line, {role: 'status', 'aria-live': running ? 'off' : 'polite'}));
  each('.progress', (bar) => put(bar, {
    role: 'progressbar', 'aria-label': `${title}: steps`, 'aria-valuemin': 0, 'aria-valuemax': 100,
    'aria-valuenow': Math.round(parseFloat(bar.firstElementChild.style.width)) || 0,
  }));
  const below = panel.querySelector('.panel-text');
  const shown = [title, below?.dataset.step].filter(Boolean).join(', ');
  each('.panel-picture', (picture) => put(picture, {alt: [shown, text(below)].filter(Boolean).join(': ')}));
};
name();
new MutationObserver(name).observe(panel, {
  subtree: true, childList: true, attributeFilter: ['class', 'disabled', 'style', 'aria-valuenow'],
});
window.keysOfPanels ||= (event) => {
  const theirs = event.ctrlKey || event.altKey || event.metaKey || event.shiftKey && event.key === 'Enter';
  if (event.target.closest?.('.panel')) event.target.toggleAttribute('data-lm-suppress-shortcuts', !theirs);
};
window.addEventListener('keydown', window.keysOfPanels, true);  // one and the same for all panels
"""

ACCESSIBLE = f"""<style onload="{html.escape(_SEE_TO_IT)}">
.panel :focus-visible {{ outline: 2px solid var(--jp-brand-color1) !important; outline-offset: 1px; }}
</style>"""
