// The comparison view: before on the left, after on the right, with a divider between them.

/**
 * Wires the stage; returns {show(width, height), reveal(), setStrength(share), setActual(on)}.
 *
 * The strength is the opacity of the denoised layer over the noisy one.
 */
export function wireCompare(elements) {
  const {stage, scroller, after, split, splitValue} = elements;
  let share = 0.5;

  const place = () => {
    const x = share * scroller.clientWidth;
    stage.style.setProperty('--x', `${x}px`);
    after.style.clipPath = `inset(0 0 0 ${scroller.scrollLeft + x}px)`;
  };
  const setShare = value => {
    share = Math.min(1, Math.max(0, value));
    split.value = Math.round(100 * share);
    splitValue.textContent = `${split.value} %`;
    stage.classList.toggle('all-after', share < 0.1);
    stage.classList.toggle('all-before', share > 0.9);
    place();
  };

  split.addEventListener('input', () => setShare(split.value / 100));
  scroller.addEventListener('scroll', place);
  new ResizeObserver(place).observe(scroller);

  let dragging = null;  // in fit mode the divider follows the pointer, else the picture
  stage.addEventListener('pointerdown', event => {
    const actual = stage.classList.contains('actual');
    if (event.button !== 0 || (actual && event.pointerType !== 'mouse')) return;
    const {scrollLeft, scrollTop} = scroller;
    dragging = {actual, x: event.clientX, y: event.clientY, scrollLeft, scrollTop};
    stage.setPointerCapture(event.pointerId);
    move(event);
  });
  const move = event => {
    if (!dragging) return;
    if (dragging.actual) {
      scroller.scrollLeft = dragging.scrollLeft + dragging.x - event.clientX;
      scroller.scrollTop = dragging.scrollTop + dragging.y - event.clientY;
    } else {
      const box = scroller.getBoundingClientRect();
      setShare((event.clientX - box.left) / box.width);
    }
  };
  stage.addEventListener('pointermove', move);
  for (const end of ['pointerup', 'pointercancel']) {
    stage.addEventListener(end, () => { dragging = null; });
  }

  return {
    show(width, height) {
      stage.style.setProperty('--aspect', width / height);
      stage.style.setProperty('--width', width);
      stage.style.setProperty('--dpr', window.devicePixelRatio || 1);
      setShare(0);  // so that finished parts are visible
    },
    /** Shows both halves, unless the user has moved the divider. */
    reveal() { if (share === 0) setShare(0.5); },
    setStrength(strength) { after.style.opacity = strength; },
    setActual(on) {
      stage.classList.toggle('actual', on);
      stage.classList.toggle('fit', !on);
      if (on) {  // scrolls to the center
        scroller.scrollLeft = (scroller.scrollWidth - scroller.clientWidth) / 2;
        scroller.scrollTop = (scroller.scrollHeight - scroller.clientHeight) / 2;
      }
      place();
    },
  };
}
