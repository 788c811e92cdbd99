// Pictures with a divider between two versions. Optional parts: choosing the versions
// (select[data-side], .crop), buttons that set the divider, and the zoom of the crops.
for (const picture of document.querySelectorAll('.picture')) {
  const range = picture.querySelector('input');
  const [left, right] = picture.querySelectorAll('select[data-side]');
  const zoom = picture.querySelector('select[data-zoom]');
  const show = () => picture.style.setProperty('--cut', range.value + '%');
  const choose = () => {
    const whole = picture.querySelector('.whole');
    const images = [...whole.querySelectorAll('img')];
    for (const image of images) {
      image.className = '';
      if (image.dataset.key === left.value) image.classList.add('on');
      if (image.dataset.key === right.value) image.classList.add('on', 'right');
    }
    // The right image is on top and clipped.
    whole.insertBefore(images.find(image => image.dataset.key === right.value),
      whole.querySelector('.bar'));
    for (const [select, tag] of [[left, '.l'], [right, '.r']]) {
      whole.querySelector('.tag' + tag).textContent = select.options[select.selectedIndex].text;
    }
  };
  range.addEventListener('input', show);
  left?.addEventListener('change', choose);
  right?.addEventListener('change', choose);
  zoom?.addEventListener('change', () => picture.style.setProperty('--zoom', zoom.value / 100));
  for (const button of picture.querySelectorAll('.tools button')) {
    button.addEventListener('click', () => { range.value = button.value; show(); });
  }
  for (const crop of picture.querySelectorAll('.crop')) {
    crop.addEventListener('click', () => {
      right.value = crop.dataset.key;
      if (+range.value > 90) range.value = 50;
      choose();
      show();
    });
  }
  for (const area of picture.querySelectorAll('.whole')) {
    const drag = event => {
      const place = area.getBoundingClientRect();
      range.value = 100 * (event.clientX - place.left) / place.width;
      show();
    };
    area.addEventListener('pointerdown', event => {
      area.setPointerCapture(event.pointerId);
      range.focus({preventScroll: true});
      drag(event);
    });
    area.addEventListener('pointermove', event => {
      const hovers = 'hover' in picture.dataset && event.pointerType === 'mouse';
      if (hovers || event.buttons) drag(event);
    });
  }
  picture.classList.add('live');
  if (left) choose();
  show();
}

// A click on a column title sorts the table, in descending order first.
for (const table of document.querySelectorAll('table.sortable')) {
  table.querySelectorAll('thead th').forEach((head, column) => {
    head.querySelector('button').addEventListener('click', () => {
      const up = head.getAttribute('aria-sort') === 'descending';
      for (const other of table.querySelectorAll('thead th')) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const value = row => {
        const {dataset, textContent} = row.cells[column];
        if (!('value' in dataset)) return textContent;
        return dataset.value === '' ? -Infinity : +dataset.value;
      };
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);
      });
      table.tBodies[0].append(...rows);
    });
  });
}
