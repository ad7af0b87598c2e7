// Filters of rows and marks, what lies under the pointer in a plot, and from marks to rows.
(() => {
  const table = document.querySelector('#rows table'), form = document.getElementById('filters');
  const heads = [...table.tHead.rows[0].cells].map(h => h.textContent);
  const rows = [...table.tBodies[0].rows];  // as they were written: marks know them by number
  const cells = rows.map(row => [...row.cells].map(cell => cell.textContent));
  const marks = [...document.querySelectorAll('.plot .mark')];
  const tip = document.getElementById('tip');

  const filter = () => {
    const groups = [...form.querySelectorAll('fieldset')].map(group => ({
      column: heads.indexOf(group.dataset.column),
      chosen: [...group.querySelectorAll(':checked')].map(box => box.value),
    })).filter(group => group.chosen.length);
    const words = document.getElementById('search').value.toLowerCase();
    rows.forEach((row, i) => {
      row.hidden = !cells[i].some(text => text.toLowerCase().includes(words)) ||
        groups.some(group => !group.chosen.includes(cells[i][group.column]));
    });
    for (const mark of marks) mark.classList.toggle('out', rows[mark.dataset.row].hidden);
    const shown = rows.filter(row => !row.hidden).length;
    document.getElementById('shown').textContent = `${shown} of ${rows.length} rows shown`;
  };
  form.addEventListener('input', filter);
  form.addEventListener('reset', () => setTimeout(filter));
  form.addEventListener('submit', event => event.preventDefault());
  filter();

  const about = i => {
    const value = name => cells[i][heads.indexOf(name)];
    const rest = heads.map((head, c) => [head, cells[i][c]])
      .filter(([head, text], c) => c > heads.indexOf('backend') && text && head !== 'plan')
      .map(([head, text]) => `${head} ${text}`);
    const lines = [];
    while (rest.length) lines.push(rest.splice(0, 4).join('   '));
    return `${value('operation')}.${value('pass')} ${value('dtype')} ${value('backend')}: ` +
      `${value('verdict')}\n${value('shape')}\n${lines.join('\n')}`;
  };
  // Marks within some pixels of the pointer, the nearest first.
  const near = (svg, event) => [...svg.querySelectorAll('.mark:not(.out)')]
    .map(mark => {
      const box = mark.getBoundingClientRect();
      return [Math.hypot(box.x + box.width / 2 - event.clientX,
                         box.y + box.height / 2 - event.clientY), mark];
    })
    .filter(([distance]) => distance < 9).sort((a, b) => a[0] - b[0]).map(([, mark]) => mark);
  const point = found => {
    for (const mark of marks) mark.classList.remove('at');
    for (const mark of found) mark.classList.add('at');
  };
  for (const svg of document.querySelectorAll('.plot svg')) {
    svg.addEventListener('pointermove', event => {
      const found = near(svg, event);
      point(found.slice(0, 1));
      tip.hidden = !found.length;
      if (!found.length) return;
      const more = found.length > 4 ? `\n\nand ${found.length - 4} more here` : '';
      tip.textContent = found.slice(0, 4).map(m => about(m.dataset.row)).join('\n\n') + more;
      const over = event.clientX + 14 + tip.offsetWidth > innerWidth;
      tip.style.left = Math.max(4, event.clientX + (over ? -14 - tip.offsetWidth : 14)) + 'px';
      tip.style.top = Math.max(4, event.clientY - tip.offsetHeight - 10) + 'px';
    });
    svg.addEventListener('pointerleave', () => { tip.hidden = true; point([]); });
    svg.addEventListener('click', event => {
      const [mark] = near(svg, event);
      if (!mark) return;
      tip.hidden = true;
      for (const row of rows) row.classList.remove('chosen');
      rows[mark.dataset.row].classList.add('chosen');
      rows[mark.dataset.row].scrollIntoView({block: 'center'});
    });
  }
  rows.forEach((row, i) => {
    row.addEventListener('pointerenter',
      () => point(marks.filter(mark => Number(mark.dataset.row) === i)));
  });
})();
